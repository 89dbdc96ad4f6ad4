import type { SrvRecord } from 'node:dns'
import { byAddressName } from '../core/address.ts'
import type { Runtime } from '../core/clock.ts'
import type { DiscoveryFactory, Update } from '../core/discovery.ts'
import type { Address } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import { aString, readOptions } from '../core/options.ts'
import { Polling } from '../core/polling.ts'
import { checkTtlBounds, DNS_CHECKS, DNS_DEFAULTS, type DnsOptions } from './source/dns-options.ts'
import { HostRecords, isNoRecord, resolveProblem } from './source/host-records.ts'
import { Subscription } from './source/subscription.ts'

/** What a record of weight 0 gets beside others that have one: RFC 2782 wants "a very small chance". */
const WEIGHT_OF_ZERO = 0.1

export interface SrvOptions extends DnsOptions {
  /** The name that has the SRV records, such as `_http._tcp.voting.example`. Default: the service's own name. */
  readonly name?: string
}

/**
 * The endpoints that DNS SRV records name (RFC 2782): hosts, ports and weights of the group with the lowest priority number; a
 * weight is shared out among the addresses of its target. A target of `.` says that there is no endpoint.
 *
 * Node tells no TTL of SRV records, so they are asked again together with their targets' addresses.
 *
 * @throws MeshError INMESH_CONFIG for bad options
 */
export function srv(options?: SrvOptions): DiscoveryFactory {
  const read = readOptions<SrvSettings>('srv', options, { ...DNS_DEFAULTS, name: undefined }, { ...DNS_CHECKS, name: aString })
  checkTtlBounds('srv', read)
  return (runtime) => ({ watch: (service, onUpdate) => watchRecords(runtime, read, service, onUpdate) })
}

interface SrvSettings {
  readonly name: string | undefined
  readonly minTtlMs: number
  readonly maxTtlMs: number
  readonly servers: readonly string[] | undefined
}

function watchRecords(runtime: Runtime, settings: SrvSettings, service: string, onUpdate: (update: Update) => void): () => void {
  const subscription = new Subscription(onUpdate)
  const name = settings.name ?? service.replace(/:\d+$/, '')
  const records = new HostRecords(runtime, settings.servers)

  const polling = new Polling(runtime, {
    maxRetryMs: settings.maxTtlMs,
    async ask(signal) {
      const found = await askTargets(records, name, signal)
      const { addresses, ttlMs } = await askAddresses(records, found, signal)
      subscription.addresses([...addresses].sort(byAddressName))
      return Math.min(Math.max(ttlMs, settings.minTtlMs), settings.maxTtlMs)
    },
    failed(cause) {
      const problem = cause instanceof MeshError ? cause.message : resolveProblem(name, cause)
      subscription.error(MeshError.refusal('INMESH_DISCOVERY', `${service}: srv: ${problem}`, { service, cause }))
    },
  })
  polling.start()
  return () => {
    subscription.stop()
    polling.stop()
  }
}

/** The records of the lowest priority number; none when the service says that it is not available. */
async function askTargets(records: HostRecords, name: string, signal: AbortSignal): Promise<readonly SrvRecord[]> {
  const found = await records
    .within(signal, (resolver) => resolver.resolveSrv(name))
    .catch((cause: unknown) => {
      if (!isNoRecord(cause)) throw cause
      const { code } = cause as NodeJS.ErrnoException
      throw MeshError.refusal('INMESH_DISCOVERY', `no SRV record for ${name} (${code})`, { cause })
    })
  const lowest = Math.min(...found.map(({ priority }) => priority))
  return found.filter(({ priority, name: target }) => priority === lowest && target !== '' && target !== '.')
}

/** A target that can't be resolved is left out, unless none can. */
async function askAddresses(
  records: HostRecords,
  targets: readonly SrvRecord[],
  signal: AbortSignal,
): Promise<{ addresses: readonly Address[]; ttlMs: number }> {
  if (targets.length === 0) return { addresses: [], ttlMs: Number.POSITIVE_INFINITY }
  const weighted = targets.some(({ weight }) => weight > 0)
  const answers = await Promise.allSettled(targets.map(({ name }) => records.resolve(name, signal)))
  const addresses: Address[] = []
  let ttlMs = Number.POSITIVE_INFINITY
  for (const [i, answer] of answers.entries()) {
    const target = targets[i] as SrvRecord
    if (answer.status === 'rejected') {
      // Asked again as soon as allowed: its share of the traffic is missing.
      ttlMs = 0
      continue
    }
    const { hosts } = answer.value
    ttlMs = Math.min(ttlMs, answer.value.ttlMs)
    const weight = weighted ? { weight: (target.weight || WEIGHT_OF_ZERO) / hosts.length } : {}
    for (const host of hosts) addresses.push({ host, port: target.port, ...weight, metadata: { target: target.name } })
  }
  const [failure] = answers.filter((answer) => answer.status === 'rejected')
  if (addresses.length === 0 && failure !== undefined) {
    const problem = resolveProblem((targets[0] as SrvRecord).name, failure.reason)
    throw MeshError.refusal('INMESH_DISCOVERY', problem, { cause: failure.reason })
  }
  return { addresses, ttlMs }
}
