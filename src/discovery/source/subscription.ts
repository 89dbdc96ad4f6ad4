import { distinctAddresses, sameAddresses } from '../../core/address.ts'
import type { Update } from '../../core/discovery.ts'
import type { Address } from '../../core/endpoint.ts'

/**
 * Keeps a driver's side of the contract: an update goes out in a microtask of its own, so never before `watch` has
 * returned, and none goes out once it is stopped. Sets are free of duplicates, and one that changes nothing is left
 * out, except after an error: it says that all is well again.
 */
export class Subscription {
  readonly #onUpdate: (update: Update) => void
  #last: readonly Address[] | undefined
  #failed = false
  #stopped = false

  constructor(onUpdate: (update: Update) => void) {
    this.#onUpdate = onUpdate
  }

  /** The last set reported; undefined before the first. */
  get last(): readonly Address[] | undefined {
    return this.#last
  }

  /** The source's whole set. */
  addresses(addresses: readonly Address[]): void {
    const set = distinctAddresses(addresses)
    if (!this.#failed && this.#last !== undefined && sameAddresses(set, this.#last)) return
    this.#last = set
    this.#failed = false
    this.#send({ addresses: set })
  }

  /** The source can't be read; its last set stands. */
  error(error: Error): void {
    this.#failed = true
    this.#send({ error })
  }

  /** Nothing is reported any more, not even what is on its way. */
  stop(): void {
    this.#stopped = true
  }

  #send(update: Update): void {
    queueMicrotask(() => {
      if (!this.#stopped) this.#onUpdate(update)
    })
  }
}
