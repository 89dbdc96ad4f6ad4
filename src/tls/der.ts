/** The tags that X.509 uses (X.680): universal ones, and `[n]` of a structure's own. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** `[n]`, as it holds a value of its own. */
export const implicitTag = (number: number): number => 0x80 | number
/** `[n]`, as it holds other elements. */
export const constructedTag = (number: number): number => 0xa0 | number

/** Bytes that are no DER, or not the DER that was expected. */
export class DerError extends Error {}

/** One element: a view of the bytes it was read from, nothing is copied. */
export interface DerElement {
  readonly tag: number
  /** The whole of it, head included. */
  readonly raw: Buffer
  readonly content: Buffer
}

/**
 * Reads DER (X.690) from its first byte to its last, strictly: lengths are definite, minimal and within bounds, or it throws. It never
 * recurses and holds a position only, so neither depth nor size of what a stranger sends costs memory.
 */
export class DerReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The next element's tag; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#at]
  }

  /** The next element, whatever it is, or of one kind. @throws DerError */
  next(tag?: number): DerElement {
    const start = this.#at
    const found = this.#byte()
    if ((found & 0x1f) === 0x1f) throw new DerError(`a tag of several bytes at byte ${start}`)
    if (tag !== undefined && found !== tag) throw new DerError(`expected tag ${hex(tag)} at byte ${start}, got ${hex(found)}`)
    const length = this.#length()
    const content = this.#at
    if (length > this.#bytes.length - content)
      throw new DerError(`an element of ${length} bytes at byte ${start} goes beyond the end`)
    this.#at = content + length
    return { tag: found, raw: this.#bytes.subarray(start, this.#at), content: this.#bytes.subarray(content, this.#at) }
  }

  /** The next element if it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.nextTag === tag ? this.next(tag) : undefined
  }

  /** A reader of what the next element holds. */
  inside(tag: number = TAG.sequence): DerReader {
    return new DerReader(this.next(tag).content)
  }

  /** @throws DerError if there is more */
  end(): void {
    if (!this.done) throw new DerError(`${this.#bytes.length - this.#at} bytes more than expected`)
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new DerError(`cut off at byte ${this.#at}`)
    this.#at++
    return byte
  }

  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > 4) throw new DerError(`a length of ${count === 0 ? 'no' : count} bytes at byte ${this.#at - 1}`)
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte()
    if (length < 0x80 || length < 256 ** (count - 1))
      throw new DerError(`a length longer than it needs to be at byte ${this.#at}`)
    return length
  }
}

/** The only element of some bytes. @throws DerError when there is none, or more than one */
export function onlyElement(bytes: Uint8Array, tag: number = TAG.sequence): DerElement {
  const reader = new DerReader(bytes)
  const element = reader.next(tag)
  reader.end()
  return element
}

/** 0x00 or 0xff. */
export function readBoolean({ content }: DerElement): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new DerError('a boolean that is neither 00 nor ff')
  return content[0] === 0xff
}

/** The bytes of an integer, in two's complement and no longer than they must be. */
export function integerBytes({ content }: DerElement): Buffer {
  const [first, second = 0] = content
  if (first === undefined) throw new DerError('an integer without bytes')
  const padded = content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
  if (padded) throw new DerError('an integer longer than it needs to be')
  return content
}

/** An integer from 0 to 2^31-1. */
export function readSmallInteger(element: DerElement): number {
  const bytes = integerBytes(element)
  if (bytes.length > 4 || (bytes[0] as number) >= 0x80) throw new DerError('an integer below 0 or above 2147483647')
  return bytes.readUIntBE(0, bytes.length)
}

/** The bits of a bit string that ends with a whole byte: signatures and keys do. */
export function wholeBytes({ content }: DerElement): Buffer {
  if (content[0] !== 0) throw new DerError('a bit string that does not end with a whole byte')
  return content.subarray(1)
}

/** The first sixteen bits of a bit string of named bits: bit n is `1 << n`. */
export function namedBits({ content }: DerElement): number {
  const [unused, first = 0, second = 0] = content
  if (unused === undefined || unused > 7 || (content.length === 1 && unused !== 0))
    throw new DerError('a bit string of a wrong length')
  const last = content[content.length - 1] as number
  if (content.length > 1 && (last & ((1 << unused) - 1)) !== 0) throw new DerError('a bit string with bits beyond its end')
  let bits = 0
  for (let n = 0; n < 8; n++) {
    if (first & (0x80 >> n)) bits |= 1 << n
    if (second & (0x80 >> n)) bits |= 1 << (n + 8)
  }
  return bits
}

/** An object identifier with dots: `1.2.840.10045.2.1`. */
export function readOid({ content }: DerElement): string {
  if (content.length === 0 || content.length > 64 || (content[content.length - 1] as number) >= 0x80) {
    throw new DerError('an object identifier that is empty, cut off or of more than 64 bytes')
  }
  const arcs: number[] = []
  let arc = 0
  let begins = true
  for (const byte of content) {
    if (begins && byte === 0x80) throw new DerError('an object identifier longer than it needs to be')
    arc = arc * 128 + (byte & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER) throw new DerError('an object identifier with a number above 2^53')
    begins = byte < 0x80
    if (!begins) continue
    if (arcs.length === 0) arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)))
    else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

/** A text of ASCII alone, as names of hosts and URIs are (IA5String). */
export function readAscii({ content }: DerElement): string {
  for (const byte of content) if (byte >= 0x80) throw new DerError('a character that is not ASCII in a name')
  return content.toString('latin1')
}

/**
 * A time in milliseconds since 1970, in the one form that RFC 5280 (4.1.2.5) allows: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050.
 */
export function readTime({ tag, content }: DerElement): number {
  const text = content.toString('latin1')
  const utc = tag === TAG.utcTime
  if (!utc && tag !== TAG.generalizedTime) throw new DerError(`expected a time, got tag ${hex(tag)}`)
  if (!(utc ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw new DerError('a time that is not written to the second and in UTC')
  const digits = utc ? `${text.startsWith('5') || text > '5' ? '19' : '20'}${text}` : text
  const [year, month, day, hour, minute, second] = [
    digits.slice(0, 4),
    ...[4, 6, 8, 10, 12].map((at) => digits.slice(at, at + 2)),
  ].map(Number) as [number, number, number, number, number, number]
  if (!utc && year < 2050) throw new DerError(`the year ${year} in the long form of a time`)
  const time = Date.UTC(year, month - 1, day, hour, minute, second)
  const read = new Date(time)
  const real = read.getUTCMonth() === month - 1 && read.getUTCDate() === day && hour < 24 && minute < 60 && second < 60
  if (!real) throw new DerError('a time that no calendar has')
  return time
}

const hex = (tag: number): string => `0x${tag.toString(16).padStart(2, '0')}`
