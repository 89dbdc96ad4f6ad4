import type { Clock } from './clock.ts'

/** Of one kind a warning is given at most so often, in milliseconds. */
const EVERY_MS = 60_000

/**
 * Warnings of the process (`process.on('warning')`) of what may happen often, by strangers' doing too: of each kind one a minute, with how many there were
 * that nobody was warned of.
 */
export class RareWarnings<Kind> {
  readonly #clock: Clock
  readonly #code: string
  /** As many as there are kinds, which are few and known. */
  readonly #byKind = new Map<Kind, { dueAt: number; silent: number }>()

  /** @param code of the warnings: `INMESH_UNAUTHORIZED` */
  constructor(clock: Clock, code: string) {
    this.#clock = clock
    this.#code = code
  }

  /** Warns, if it is time to. @param text is asked for only then */
  warn(kind: Kind, text: () => string): void {
    const now = this.#clock.now()
    const last = this.#byKind.get(kind)
    if (last !== undefined && now < last.dueAt) {
      last.silent++
      return
    }
    this.#byKind.set(kind, { dueAt: now + EVERY_MS, silent: 0 })
    const silent = last?.silent ?? 0
    const more = silent > 0 ? `, and ${silent} more since the last warning` : ''
    process.emitWarning(text() + more, { type: 'MeshWarning', code: this.#code })
  }
}
