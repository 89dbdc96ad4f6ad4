/** A field of a protocol buffer, as it lies in the message. */
export interface ProtobufField {
  /** 1: eight bytes, 2: bytes with their length, 5: four bytes. */
  readonly wire: number
  /** Part of the message, not a copy. */
  readonly bytes: Buffer
}

/**
 * Goes through the fields of a protocol buffer, in their order; varints are skipped, since nothing here reads any.
 *
 * @param fn returns false to refuse the message
 * @returns false when the message is malformed or refused; the fields before the fault were told
 */
export function eachField(message: Buffer, fn: (number: number, field: ProtobufField) => boolean): boolean {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 10 && at < message.length; shift++) {
      const byte = message[at++] as number
      value += (byte & 0x7f) * 2 ** (7 * shift)
      if (byte < 0x80) return value
    }
    return Number.NaN
  }
  const lengthOf = (wire: number): number => {
    if (wire === 1) return 8
    if (wire === 5) return 4
    return wire === 2 ? varint() : Number.NaN
  }
  while (at < message.length) {
    const tag = varint()
    const wire = tag % 8
    if (wire === 0) {
      if (Number.isNaN(varint())) return false
      continue
    }
    const length = lengthOf(wire)
    if (!(at + length <= message.length)) return false
    if (!fn(Math.floor(tag / 8), { wire, bytes: message.subarray(at, at + length) })) return false
    at += length
  }
  return true
}
