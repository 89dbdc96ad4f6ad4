import type { Discovery, DiscoveryFactory, Update } from '../core/discovery.ts'
import type { Address } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import { shown } from '../core/options.ts'
import { Subscription } from './source/subscription.ts'

/**
 * Several sources in order of preference: the first one whose set is not empty is used, and it switches when that changes. A
 * source is only watched while none before it has addresses, so nobody asks DNS for what the local registry knows.
 *
 * Reports nothing until a source has addresses or all have spoken. Errors surface only while no source has addresses.
 *
 * @throws MeshError INMESH_CONFIG for an empty list or something that is no source
 */
export function first(sources: readonly DiscoveryFactory[]): DiscoveryFactory {
  if (!Array.isArray(sources) || sources.length === 0) {
    throw new MeshError('INMESH_CONFIG', `first: expected an array of at least one source, got ${shown(sources)}`)
  }
  const problems = sources.flatMap((source, i) =>
    typeof source === 'function' ? [] : [`first[${i}]: expected a source, got ${shown(source)}`],
  )
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return (runtime) => {
    const discoveries = sources.map((source) => source(runtime))
    return { watch: (service, onUpdate) => watchInOrder(discoveries, service, onUpdate) }
  }
}

/** What one source has said so far. */
class Candidate {
  readonly #discovery: Discovery
  #stop: (() => void) | undefined
  addresses: readonly Address[] | undefined
  error: Error | undefined

  constructor(discovery: Discovery) {
    this.#discovery = discovery
  }

  get spoke(): boolean {
    return this.addresses !== undefined || this.error !== undefined
  }

  start(service: string, spoken: () => void): void {
    this.#stop ??= this.#discovery.watch(service, (update: Update) => {
      if ('error' in update) {
        this.error = update.error
      } else {
        this.addresses = update.addresses
        this.error = undefined
      }
      spoken()
    })
  }

  /** Stops it and forgets what it said: by the time it is asked again that is old. */
  stop(): void {
    this.#stop?.()
    this.#stop = undefined
    this.addresses = undefined
    this.error = undefined
  }
}

function watchInOrder(discoveries: readonly Discovery[], service: string, onUpdate: (update: Update) => void): () => void {
  const subscription = new Subscription(onUpdate)
  const candidates = discoveries.map((discovery) => new Candidate(discovery))

  const decide = () => {
    for (const [i, candidate] of candidates.entries()) {
      candidate.start(service, decide)
      if (!candidate.spoke) return
      if (candidate.addresses !== undefined && candidate.addresses.length > 0) {
        for (const later of candidates.slice(i + 1)) later.stop()
        subscription.addresses(candidate.addresses)
        return
      }
    }
    reportNone(subscription, candidates, service)
  }

  decide()
  return () => {
    subscription.stop()
    for (const candidate of candidates) candidate.stop()
  }
}

/** No source has addresses: the set is empty if any of them says so, and what went wrong with the others is told after it. */
function reportNone(subscription: Subscription, candidates: readonly Candidate[], service: string): void {
  const errors = candidates.flatMap(({ error }) => error ?? [])
  const [cause] = errors
  if (cause === undefined) {
    subscription.addresses([])
    return
  }
  if (subscription.last?.length !== 0 && candidates.some(({ addresses }) => addresses !== undefined)) subscription.addresses([])
  subscription.error(errors.length === 1 ? cause : allFailed(service, errors))
}

function allFailed(service: string, errors: readonly Error[]): MeshError {
  const messages = errors.map((error) => error.message).join('; ')
  return MeshError.refusal('INMESH_DISCOVERY', `${service}: no source can be read: ${messages}`, { service, cause: errors[0] })
}
