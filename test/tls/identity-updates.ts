import type { Identity, IdentitySource, IdentityUpdate } from '../../src/core/identity.ts'
import type { VirtualClock } from '../support/virtual-time.ts'

/** How far the clock is turned at a time, in milliseconds, and how many turns of the event loop real work gets for it. */
const STEP_MS = 250
const TURNS = 4
const MAX_STEPS = 20_000

/** Watches a source of identities and keeps what is reported, for a test to take out one by one. */
export class IdentityUpdates {
  readonly all: IdentityUpdate[] = []
  readonly stop: () => void
  readonly clock: VirtualClock
  #taken = 0

  constructor(clock: VirtualClock, source: IdentitySource) {
    this.clock = clock
    this.stop = source.watch((update) => this.all.push(update))
  }

  /** The next update that was not taken yet; time passes until it comes. */
  async next(stepMs = STEP_MS): Promise<IdentityUpdate> {
    for (let step = 0; step < MAX_STEPS; step++) {
      const update = this.all[this.#taken]
      if (update !== undefined) {
        this.#taken++
        return update
      }
      await turns()
      if (this.all.length === this.#taken) this.clock.advance(stepMs)
    }
    throw new Error(`no update in ${MAX_STEPS * stepMs} ms of virtual time`)
  }

  /** The next identity; errors on the way are skipped. */
  async identity(stepMs?: number): Promise<Identity> {
    for (;;) {
      const update = await this.next(stepMs)
      if ('identity' in update) return update.identity
    }
  }

  /** The next error; identities on the way are skipped. */
  async error(stepMs?: number): Promise<Error> {
    for (;;) {
      const update = await this.next(stepMs)
      if ('error' in update) return update.error
    }
  }

  /** Lets virtual time pass, with turns of the event loop in between for real work. */
  async pass(ms: number, stepMs = STEP_MS): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await turns()
      this.clock.advance(Math.min(stepMs, ms - passed))
    }
    await turns()
  }
}

export async function turns(count = TURNS): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
