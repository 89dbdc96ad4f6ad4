/** What is not answered by then has failed, in milliseconds: an answer that never comes must be seen, too. */
const PATIENCE_MS = 20_000

/** One way to make a call; resolves to what was answered. */
export type Door = () => Promise<string>

/** Calls that are begun at a steady pace whatever becomes of those before, through several doors alike. */
export class SteadyLoad {
  readonly failed: string[] = []
  begun = 0
  succeeded = 0
  /** Of those that succeeded, in milliseconds; may be taken away at any time. */
  latencies: number[] = []
  /** The last answer through each door. */
  readonly last = new Map<string, string>()
  /** How many answers in a row it was. */
  readonly #inARow = new Map<string, number>()
  readonly #doors: Readonly<Record<string, Door>>
  readonly #underway = new Set<Promise<void>>()
  readonly #waiting = new Set<() => void>()
  readonly #timer: NodeJS.Timeout

  /** @param everyMs between two calls of each door, in milliseconds */
  constructor(doors: Readonly<Record<string, Door>>, everyMs: number) {
    this.#doors = doors
    this.#timer = setInterval(() => this.#tick(), everyMs)
  }

  /** Resolves once so many more calls have succeeded, or one has failed. */
  more(calls: number): Promise<void> {
    const enough = this.succeeded + calls
    return this.#until(() => this.succeeded >= enough)
  }

  /** Resolves once the last answer through each door is the expected one, or a call has failed. */
  eachAnswers(expected: () => string): Promise<void> {
    const doors = Object.keys(this.#doors)
    return this.#until(() => doors.every((door) => this.last.get(door) === expected()))
  }

  /** Resolves once so many answers in a row were the expected one through each door: older connections are used no more. Or once a call has failed. */
  eachSettles(expected: () => string, answers: number): Promise<void> {
    const doors = Object.keys(this.#doors)
    const settled = (door: string) => this.last.get(door) === expected() && (this.#inARow.get(door) ?? 0) >= answers
    return this.#until(() => doors.every(settled))
  }

  /** Begins no more calls; resolves when all have ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#underway)
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.failed.length === 0 && !holds()) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  #tick(): void {
    for (const [name, door] of Object.entries(this.#doors)) {
      this.begun++
      const call = this.#call(name, door).finally(() => this.#underway.delete(call))
      this.#underway.add(call)
    }
  }

  #answered(name: string, answer: string): void {
    this.#inARow.set(name, this.last.get(name) === answer ? (this.#inARow.get(name) ?? 0) + 1 : 1)
    this.last.set(name, answer)
  }

  async #call(name: string, door: Door): Promise<void> {
    const startedAt = performance.now()
    try {
      this.#answered(name, await answered(door))
      this.succeeded++
      this.latencies.push(performance.now() - startedAt)
    } catch (error) {
      this.failed.push(`${name}: ${(error as Error).stack} ${(error as Error).cause ?? ''}`)
    }
    for (const look of this.#waiting) look()
  }
}

async function answered(door: Door): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS)
  })
  try {
    return await Promise.race([door(), late])
  } finally {
    clearTimeout(timer)
  }
}
