/** The longest a pattern may be: the Gateway API's own limit for the value of a path. */
const MAX_LENGTH = 1_024
/** Steps that a pattern may come to once its counted repetitions are written out; what a character costs at most. */
const MAX_STEPS = 2_000
/** Groups within groups. */
const MAX_DEPTH = 50

/**
 * A regular expression in the syntax of RE2 that JavaScript shares, as the Gateway API's implementations have it. It must match the whole text. JavaScript's own
 * engine may try every way to match, which takes for ever for `(a+)+b` and a long text that somebody else chose; this one looks at each
 * character once, at a cost that the pattern bounds (Thompson's construction: Ken Thompson, Regular Expression Search Algorithm, CACM 11(6), 1968).
 *
 * There are no lookarounds, backreferences and word boundaries, which can't be had at that price.
 *
 * @returns undefined when it is no such expression, is longer than 1,024 characters, or comes to more than 2,000 steps
 */
export function linearPattern(source: string): LinearPattern | undefined {
  if (source.length > MAX_LENGTH || !compiles(source)) return undefined
  try {
    return new LinearPattern(new Parser(source).program())
  } catch (error) {
    if (error === UNSUPPORTED) return undefined
    throw error
  }
}

/** Keeps its places in the pattern from test to test, so that a test allocates nothing. */
class LinearPattern {
  readonly #steps: readonly Step[]
  /** The places reached before and after the current character, and at which character each was entered last. */
  #now: Places
  #next: Places
  #length = 0

  constructor(steps: readonly Step[]) {
    this.#steps = steps
    this.#now = new Places(steps.length)
    this.#next = new Places(steps.length)
  }

  /** Whether it matches all of the text. */
  test(text: string): boolean {
    this.#length = text.length
    this.#now.clear()
    this.#enter(this.#now, 0, 0)
    for (let i = 0; i < text.length; i++) {
      if (this.#now.count === 0) return false
      this.#next.clear()
      this.#read(text.charCodeAt(i), i + 1)
      const read = this.#now
      this.#now = this.#next
      this.#next = read
    }
    return this.#now.has(this.#steps.length - 1)
  }

  /** @param after where in the text that character ends */
  #read(code: number, after: number): void {
    const { list, count } = this.#now
    for (let i = 0; i < count; i++) {
      const at = list[i] as number
      const step = this.#steps[at] as Step
      if (step.kind === 'character' && step.accepts(code)) this.#enter(this.#next, at + 1, after)
    }
  }

  /** Every place that is reached from `from` without a character. */
  #enter(places: Places, from: number, position: number): void {
    let at = from
    while (places.add(at)) {
      const step = this.#steps[at] as Step
      if (step.kind === 'character' || step.kind === 'match') return
      if (step.kind === 'start' && position > 0) return
      if (step.kind === 'end' && position < this.#length) return
      if (step.kind === 'fork') this.#enter(places, step.other, position)
      at = step.kind === 'jump' ? step.to : at + 1
    }
  }
}

/** A set of places in the pattern, emptied at no cost. */
class Places {
  readonly list: Uint16Array
  count = 0
  readonly #position: Uint16Array

  constructor(size: number) {
    this.list = new Uint16Array(size)
    this.#position = new Uint16Array(size)
  }

  clear(): void {
    this.count = 0
  }

  has(place: number): boolean {
    const position = this.#position[place] as number
    return position < this.count && this.list[position] === place
  }

  /** False when it is there already. */
  add(place: number): boolean {
    if (this.has(place)) return false
    this.#position[place] = this.count
    this.list[this.count++] = place
    return true
  }
}

/** `fork` goes on at the next step and at another one. The last step of a program is `match`. */
type Step =
  | { readonly kind: 'character'; readonly accepts: (code: number) => boolean }
  | { readonly kind: 'fork'; readonly other: number }
  | { readonly kind: 'jump'; readonly to: number }
  | { readonly kind: 'start' | 'end' | 'match' }

/** A part of a program whose forks and jumps are relative to their own place, so that it can be repeated. */
type Part = readonly Step[]

/** Reads a pattern that JavaScript accepts. @throws UNSUPPORTED */
class Parser {
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
  }

  program(): Step[] {
    const part = this.#alternatives()
    return [...part, { kind: 'match' } as const].map((step, at) => {
      if (step.kind === 'fork') return { kind: 'fork', other: at + step.other }
      return step.kind === 'jump' ? { kind: 'jump', to: at + step.to } : step
    })
  }

  #alternatives(): Part {
    if (++this.#depth > MAX_DEPTH) throw UNSUPPORTED
    let part = this.#sequence()
    while (this.#takes('|')) {
      const other = this.#sequence()
      part = bounded([{ kind: 'fork', other: part.length + 2 }, ...part, { kind: 'jump', to: other.length + 1 }, ...other])
    }
    this.#depth--
    return part
  }

  #sequence(): Part {
    let part: Part = []
    while (this.#at < this.#source.length && this.#source[this.#at] !== '|' && this.#source[this.#at] !== ')') {
      part = bounded([...part, ...this.#repeated(this.#atom())])
    }
    return part
  }

  #repeated(part: Part): Part {
    const found = this.#take(/[*+?]|\{(\d+)(,(\d*))?\}/y)
    if (found === undefined) return part
    this.#takes('?') // whether it is greedy is no matter to a match of the whole
    const [sign, least, comma, most] = found
    if (sign === '*') return anyNumber(part)
    if (sign === '+') return bounded([...part, ...anyNumber(part)])
    if (sign === '?') return perhaps(part)
    const from = Number(least)
    const to = comma === undefined ? from : most === '' ? Number.POSITIVE_INFINITY : Number(most)
    return counted(part, from, to)
  }

  #atom(): Part {
    if (this.#take(/\((\?:|\?<[A-Za-z_$][\w$]*>|(?!\?))/y) !== undefined) {
      const part = this.#alternatives()
      this.#takes(')')
      return part
    }
    if (this.#takes('^')) return [{ kind: 'start' }]
    if (this.#takes('$')) return [{ kind: 'end' }]
    const [text] = this.#take(ATOM) ?? []
    if (text === undefined) throw UNSUPPORTED
    return [{ kind: 'character', accepts: characterTest(text) }]
  }

  #takes(character: string): boolean {
    if (this.#source[this.#at] !== character) return false
    this.#at++
    return true
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)
    if (found === null) return undefined
    this.#at += found[0].length
    return found
  }
}

const ESCAPE = String.raw`\\(?:[dDwWsStnrfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^A-Za-z0-9])`
/** One character, an escape or a class. */
const ATOM = new RegExp(String.raw`\[(?:${ESCAPE}|[^\\\]])*\]|${ESCAPE}|[^\\()[*+?|]`, 'sy')
const UNSUPPORTED = new Error('a pattern that is not supported')

/** JavaScript knows best what a class or an escape means; for ASCII it is asked but once. */
function characterTest(atom: string): (code: number) => boolean {
  const pattern = new RegExp(`^${atom}$`)
  const asks = (code: number): boolean => pattern.test(String.fromCharCode(code))
  const ascii = Uint8Array.from({ length: 128 }, (_, code) => (asks(code) ? 1 : 0))
  return (code) => (code < 128 ? ascii[code] === 1 : asks(code))
}

function anyNumber(part: Part): Part {
  return bounded([{ kind: 'fork', other: part.length + 2 }, ...part, { kind: 'jump', to: -part.length - 1 }])
}

function perhaps(part: Part): Part {
  return bounded([{ kind: 'fork', other: part.length + 1 }, ...part])
}

function counted(part: Part, from: number, to: number): Part {
  if (part.length === 0) return part
  const copies = to === Number.POSITIVE_INFINITY ? from : to
  if (copies * part.length > MAX_STEPS) throw UNSUPPORTED
  const least = Array.from({ length: from }, () => part).flat()
  if (to === Number.POSITIVE_INFINITY) return bounded([...least, ...anyNumber(part)])
  return bounded([...least, ...Array.from({ length: to - from }, () => perhaps(part)).flat()])
}

function bounded(part: Part): Part {
  if (part.length > MAX_STEPS) throw UNSUPPORTED
  return part
}

function compiles(source: string): boolean {
  try {
    new RegExp(source)
    return true
  } catch {
    return false
  }
}
