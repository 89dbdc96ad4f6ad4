import type { Gate } from '../core/gate.ts'
import type { Service } from '../core/service.ts'

/**
 * How often endpoints were found wanting by their breaker, from the first refusal to its full recovery one ejection, however many
 * probes fail meanwhile. Looks at a service when its endpoints change.
 */
export class Ejections {
  /** The endpoint was not used. */
  enforced = 0
  /** It was used all the same, since too many of the service were out already. */
  unenforced = 0
  /** The latest of each gate, which outlives the endpoint object. */
  readonly #latest = new WeakMap<Gate, Ejection>()

  look(service: Service, now: number): void {
    if (service.counts.shut === 0) return
    for (const { gate, shut, shutSince, forced } of service.endpoints) {
      // one that is merely leaving was not found wanting
      if (!shut || gate.shutUntil <= now) continue
      const ejection = this.#of(gate, shutSince)
      if (forced && !ejection.unenforced) {
        ejection.unenforced = true
        this.unenforced++
      } else if (!forced && !ejection.enforced) {
        ejection.enforced = true
        this.enforced++
      }
    }
  }

  #of(gate: Gate, since: number): Ejection {
    const known = this.#latest.get(gate)
    if (known?.since === since) return known
    const ejection = { since, enforced: false, unenforced: false }
    this.#latest.set(gate, ejection)
    return ejection
  }
}

interface Ejection {
  readonly since: number
  enforced: boolean
  unenforced: boolean
}
