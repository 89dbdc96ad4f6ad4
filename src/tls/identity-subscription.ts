import type { Identity, IdentityUpdate } from '../core/identity.ts'

/**
 * Keeps a source's side of the contract: an update goes out in a microtask of its own, so never before `watch` has returned, and none goes
 * out once it is stopped. What changes nothing is left out: an identity that is in use already, except after an error, where it says
 * that all is well again, and an error that was told last.
 */
export class IdentitySubscription {
  readonly #onUpdate: (update: IdentityUpdate) => void
  #last: Identity | undefined
  #told: string | undefined
  #stopped = false

  constructor(onUpdate: (update: IdentityUpdate) => void) {
    this.#onUpdate = onUpdate
  }

  /** The identity reported last; undefined before the first. */
  get last(): Identity | undefined {
    return this.#last
  }

  identity(identity: Identity): void {
    if (this.#told === undefined && this.#last !== undefined && sameIdentity(identity, this.#last)) return
    this.#last = identity
    this.#told = undefined
    this.#send({ identity })
  }

  /** There is no newer identity; the last one stands. */
  error(error: Error): void {
    if (this.#told === error.message) return
    this.#told = error.message
    this.#send({ error })
  }

  /** Nothing is reported any more, not even what is on its way. */
  stop(): void {
    this.#stopped = true
  }

  #send(update: IdentityUpdate): void {
    queueMicrotask(() => {
      if (!this.#stopped) this.#onUpdate(update)
    })
  }
}

function sameIdentity(one: Identity, other: Identity): boolean {
  return one.certificates === other.certificates && one.key === other.key && trustText(one) === trustText(other)
}

function trustText({ trust }: Identity): string {
  return JSON.stringify(Object.entries(trust).sort(([a], [b]) => (a < b ? -1 : 1)))
}
