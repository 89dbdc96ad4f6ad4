import { systemClock, systemRandom } from '../../../src/core/clock.ts'
import type { Inbound } from '../../../src/core/inbound.ts'
import type { InboundObserver } from '../../../src/core/inbound-observer.ts'
import { retryLoop } from '../../../src/resilience/retry-loop.ts'
import { Reception, type ReceptionOptions, type ReceptionParts } from '../../../src/server/reception.ts'

/** What an observer was told, as lines: `started GET /`, `refused overloaded enforced`, `ended 200 ok /api/:id`. */
export class RecordingObserver implements InboundObserver {
  readonly lines: string[] = []
  readonly inbounds: Inbound[] = []
  #waiting: { count: number; resolve: () => void }[] = []
  ended = 0

  requestStarted(inbound: Inbound): void {
    this.inbounds.push(inbound)
    this.lines.push(`started ${inbound.method} ${inbound.path}`)
  }

  requestRefused(_inbound: Inbound, refusal: { reason: string }, mode: string): void {
    this.lines.push(`refused ${refusal.reason} ${mode}`)
  }

  requestEnded(inbound: Inbound, status: number, reason: string): void {
    this.ended++
    this.lines.push(`ended ${status} ${reason} ${inbound.route}`.trim())
    for (const { count, resolve } of this.#waiting) if (this.ended >= count) resolve()
  }

  /** Resolves once so many requests have ended, of all that were seen. */
  whenEnded(count: number): Promise<void> {
    if (this.ended >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ count, resolve }))
  }

  get endings(): string[] {
    return this.lines.filter((line) => line.startsWith('ended'))
  }
}

export interface SmallServing {
  readonly mesh: { readonly inbound: Reception }
  readonly seen: RecordingObserver
}

/** What a mesh is to a server: a reception, and an observer that remembers. */
export function serving(options: Partial<ReceptionOptions> = {}, parts: Partial<ReceptionParts> = {}): SmallServing {
  const seen = new RecordingObserver()
  const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const inbound = new Reception({ name: 'web', runtime, observer: seen, ...parts }, { loadReports: false, ...options })
  return { mesh: { inbound }, seen }
}
