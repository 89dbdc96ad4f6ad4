import type { Clock } from '../core/clock.ts'
import { numberFrom, readOptions } from '../core/options.ts'
import type { RetryBudget, RetryBudgetFactory } from '../core/retry-policy.ts'

export interface RetryBudgetOptions {
  /** Further attempts that each call pays for, from 0 to 1000: 0.2 is one for every five calls. Default 0.2. */
  readonly percent: number
  /** Further attempts a second that are free, so that a service with few calls can retry too; 0 or more. Default 10. */
  readonly minPerSecond: number
  /** How long a call's payment lasts, and over how long `minPerSecond` is evened out: 1000 to 60000 milliseconds. Default 10000. */
  readonly ttlMs: number
}

/**
 * Bounds the load that resending adds: over any `ttlMs`, no more further attempts than `percent` of the calls plus a reserve of
 * `minPerSecond`. An outage then costs a service 20 % more traffic, not twice or five times as much. The semantics and the defaults
 * are those of Finagle's RetryBudget.
 *
 * One budget a service, shared by its routes and doors. Two counters in ten slots of time: constant memory, no timer; `deposit` costs
 * a look at the clock.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function retryBudget(options?: Partial<RetryBudgetOptions>): RetryBudgetFactory {
  const read = readOptions('retryBudget', options, DEFAULTS, {
    percent: numberFrom(0, 1_000),
    minPerSecond: numberFrom(0, 1_000_000),
    ttlMs: numberFrom(1_000, 60_000),
  })
  if (read.percent === 0 && read.minPerSecond === 0) return () => emptyBudget
  return (runtime) => new WindowedBudget(read, runtime.clock)
}

/** Pays for nothing: whatever may be processed twice is sent once. */
export const emptyBudget: RetryBudget = { deposit() {}, withdraw: () => false, balance: 0 }

/** Pays for everything: the policy's own number of attempts is the only bound. */
export const infiniteBudget: RetryBudget = { deposit() {}, withdraw: () => true, balance: Number.POSITIVE_INFINITY }

const DEFAULTS: RetryBudgetOptions = { percent: 0.2, minPerSecond: 10, ttlMs: 10_000 }
const SLOTS = 10
/** Forgives what binary fractions lose: 100 deposits at 0.29, less 28, are a hair short of 1. */
const EPSILON = 1e-9

/** What happened in a tenth of the ttl. Whole numbers, so that sums stay exact for ever. */
interface Slot {
  deposits: number
  withdrawals: number
  next: Slot
}

class WindowedBudget implements RetryBudget {
  readonly #clock: Clock
  readonly #percent: number
  readonly #reserve: number
  readonly #slotMs: number
  /** Calls and withdrawals of the last ttl: the sums of the slots. */
  #deposited = 0
  #withdrawn = 0
  /** The slot of the present; its next is the oldest. */
  #slot = ringOfSlots()
  #slotEndsAt: number

  constructor({ percent, minPerSecond, ttlMs }: RetryBudgetOptions, clock: Clock) {
    this.#clock = clock
    this.#percent = percent
    this.#reserve = (minPerSecond * ttlMs) / 1_000
    this.#slotMs = ttlMs / SLOTS
    this.#slotEndsAt = clock.now() + this.#slotMs
  }

  deposit(): void {
    this.#expire()
    this.#slot.deposits++
    this.#deposited++
  }

  withdraw(): boolean {
    this.#expire()
    if (this.#tokens() < 1) return false
    this.#slot.withdrawals++
    this.#withdrawn++
    return true
  }

  get balance(): number {
    this.#expire()
    return Math.max(0, Math.floor(this.#tokens()))
  }

  #tokens(): number {
    return this.#deposited * this.#percent + this.#reserve - this.#withdrawn + EPSILON
  }

  /** Moves on to the slot of the present and forgets those that are older than ttl: at most all ten, however long it slept. */
  #expire(): void {
    const late = this.#clock.now() - this.#slotEndsAt
    if (late < 0) return
    const passed = Math.floor(late / this.#slotMs) + 1
    for (let i = Math.min(passed, SLOTS); i > 0; i--) this.#forgetNext()
    this.#slotEndsAt += passed * this.#slotMs
  }

  #forgetNext(): void {
    const slot = this.#slot.next
    this.#deposited -= slot.deposits
    this.#withdrawn -= slot.withdrawals
    slot.deposits = 0
    slot.withdrawals = 0
    this.#slot = slot
  }
}

function ringOfSlots(): Slot {
  const first = { deposits: 0, withdrawals: 0 } as Slot
  first.next = first
  for (let i = 1; i < SLOTS; i++) first.next = { deposits: 0, withdrawals: 0, next: first.next }
  return first
}
