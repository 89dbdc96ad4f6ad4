import { byAddressName, parseAuthority } from '../core/address.ts'
import type { Runtime } from '../core/clock.ts'
import type { DiscoveryFactory, Update } from '../core/discovery.ts'
import { MeshError } from '../core/errors.ts'
import { integerFrom, type OptionCheck, readOptions } from '../core/options.ts'
import { Polling } from '../core/polling.ts'
import { checkTtlBounds, DNS_CHECKS, DNS_DEFAULTS, type DnsOptions } from './source/dns-options.ts'
import { HostRecords, resolveProblem } from './source/host-records.ts'
import { Subscription } from './source/subscription.ts'

export interface DnsHostOptions extends DnsOptions {
  /** The host to resolve. Default: that of the service's own name. */
  readonly host?: string
  /** 1 to 65535. Default: that of the service's name (`voting:8080`), else 80. */
  readonly port?: number
}

/**
 * All addresses that DNS has for a host, A and AAAA, asked again when their TTL is over. No record is an error, not an empty
 * set: the last good set stands, and it asks again with a backoff up to `maxTtlMs`.
 *
 * /etc/hosts, `localhost` and search domains work as well. A question under way when the process would end holds it until
 * it is answered or abandoned (at most 5 s), unless stopped.
 *
 * @throws MeshError INMESH_CONFIG for bad options
 */
export function dns(options?: DnsHostOptions): DiscoveryFactory {
  const defaults = { ...DNS_DEFAULTS, host: undefined, port: undefined }
  const read = readOptions<DnsSettings>('dns', options, defaults, { ...DNS_CHECKS, host: aHost, port: integerFrom(1, 65_535) })
  checkTtlBounds('dns', read)
  return (runtime) => ({ watch: (service, onUpdate) => watchHost(runtime, read, service, onUpdate) })
}

interface DnsSettings {
  readonly host: string | undefined
  readonly port: number | undefined
  readonly minTtlMs: number
  readonly maxTtlMs: number
  readonly servers: readonly string[] | undefined
}

const aHost: OptionCheck = (v) => {
  const authority = typeof v === 'string' ? parseAuthority(v) : undefined
  return authority !== undefined && authority.port === undefined ? undefined : 'a host name or an IP address without a port'
}

function watchHost(runtime: Runtime, settings: DnsSettings, service: string, onUpdate: (update: Update) => void): () => void {
  const subscription = new Subscription(onUpdate)
  const authority = parseAuthority(settings.host ?? service)
  if (authority === undefined) {
    subscription.error(
      MeshError.refusal('INMESH_DISCOVERY', `${service}: dns: the name is no host name, set dns.host`, { service }),
    )
    return () => subscription.stop()
  }
  const { host } = authority
  const port = settings.port ?? authority.port ?? parseAuthority(service)?.port ?? 80
  const records = new HostRecords(runtime, settings.servers)

  const polling = new Polling(runtime, {
    maxRetryMs: settings.maxTtlMs,
    async ask(signal) {
      const { hosts, ttlMs } = await records.resolve(host, signal)
      // DNS servers turn the order of their records around with each answer.
      subscription.addresses(hosts.map((address) => ({ host: address, port })).sort(byAddressName))
      return Math.min(Math.max(ttlMs, settings.minTtlMs), settings.maxTtlMs)
    },
    failed(cause) {
      const message = `${service}: dns: ${resolveProblem(host, cause)}`
      subscription.error(MeshError.refusal('INMESH_DISCOVERY', message, { service, cause }))
    },
  })
  polling.start()
  return () => {
    subscription.stop()
    polling.stop()
  }
}
