import type { connectivityState as State } from '@grpc/grpc-js'
import type { Clock, Timer } from '../../core/clock.ts'
import { type Deadline, deadlineTime, leftUntil } from './deadline.ts'

/** The longest a timer can run, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647

interface Watcher {
  readonly from: State
  readonly callback: (error?: Error) => void
  timer: Timer | undefined
}

/** Those who wait for a channel's state to change. */
export class StateWatch {
  readonly #clock: Clock
  readonly #watchers = new Set<Watcher>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#watchers.size
  }

  /** @param callback is told once: nothing when the state is another one than `from`, an error at the deadline */
  add(from: State, deadline: Deadline, callback: (error?: Error) => void): void {
    const watcher: Watcher = { from, callback, timer: undefined }
    const leftMs = leftUntil(deadlineTime(deadline))
    if (leftMs <= 0) return process.nextTick(callback, unchanged())
    this.#watchers.add(watcher)
    if (leftMs > MAX_TIMER_MS) return
    watcher.timer = this.#clock.hold(leftMs, () => {
      this.#watchers.delete(watcher)
      callback(unchanged())
    })
  }

  /** The state is this now. */
  tell(state: State): void {
    for (const watcher of [...this.#watchers]) {
      if (watcher.from === state || !this.#watchers.delete(watcher)) continue
      watcher.timer?.cancel()
      watcher.callback()
    }
  }
}

/** As grpc-js says it. */
function unchanged(): Error {
  return new Error('Deadline passed without connectivity state change')
}
