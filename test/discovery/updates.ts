import type { Discovery, Update } from '../../src/core/discovery.ts'
import { addressName } from '../../src/core/endpoint.ts'
import type { VirtualClock } from '../support/virtual-time.ts'

/** How far the clock is turned at a time, in milliseconds, and how many turns of the event loop real answers get for it. */
const STEP_MS = 50
const TURNS = 4
const MAX_STEPS = 40_000

/** Watches a service and keeps what is reported, for a test to take out one by one. */
export class Updates {
  readonly all: Update[] = []
  readonly stop: () => void
  #taken = 0
  readonly #clock: VirtualClock

  constructor(clock: VirtualClock, discovery: Discovery, service: string) {
    this.#clock = clock
    this.stop = discovery.watch(service, (update) => this.all.push(update))
  }

  /** The next update that was not taken yet; time passes until it comes. */
  async next(): Promise<Update> {
    for (let step = 0; step < MAX_STEPS; step++) {
      const update = this.all[this.#taken]
      if (update !== undefined) {
        this.#taken++
        return update
      }
      await turns()
      if (this.all.length === this.#taken) this.#clock.advance(STEP_MS)
    }
    throw new Error(`no update in ${MAX_STEPS * STEP_MS} ms of virtual time`)
  }

  /** As `next`, without that time passes: what comes by itself. */
  async soon(): Promise<Update> {
    for (let step = 0; step < MAX_STEPS; step++) {
      const update = this.all[this.#taken]
      if (update !== undefined) {
        this.#taken++
        return update
      }
      await turns()
    }
    throw new Error('no update came by itself')
  }

  /** The next set, by names; errors on the way are skipped. */
  async set(): Promise<string[]> {
    for (;;) {
      const update = await this.next()
      if ('addresses' in update) return names(update)
    }
  }

  /** The next error; sets on the way are skipped. */
  async error(): Promise<Error> {
    for (;;) {
      const update = await this.next()
      if ('error' in update) return update.error
    }
  }

  /** Passes sets and errors until the set is this one. */
  async until(...expected: string[]): Promise<void> {
    const wanted = expected.sort().join()
    while ((await this.set()).join() !== wanted) {}
  }

  /** Lets virtual time pass, with turns of the event loop in between for real answers. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      await turns()
      this.#clock.advance(Math.min(STEP_MS, ms - passed))
    }
    await turns()
  }
}

/** The set of an update as `host:port`, sorted. */
export function names(update: Update): string[] {
  if ('error' in update) throw update.error
  return update.addresses.map(addressName).sort()
}

export async function turns(count = TURNS): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
