import { Resolver } from 'node:dns'
import { MeshError } from '../../core/errors.ts'
import { durationMs, type OptionCheck } from '../../core/options.ts'

/** How often DNS is asked, and whom; shared by the drivers that ask it. */
export interface DnsOptions {
  /** Records hold at least this long, in milliseconds, whatever their TTL. Default 1 000. */
  readonly minTtlMs?: number
  /** Records hold at most this long, in milliseconds, whatever their TTL. Default 30 000. */
  readonly maxTtlMs?: number
  /** `ip` or `ip:port` of the DNS servers, the only ones asked; /etc/hosts is then not read. Default: the system's. */
  readonly servers?: readonly string[]
}

export const DNS_DEFAULTS = { minTtlMs: 1_000, maxTtlMs: 30_000, servers: undefined }

export const DNS_CHECKS = { minTtlMs: durationMs, maxTtlMs: durationMs, servers: dnsServers }

/** Refuses bounds that exclude everything. */
export function checkTtlBounds(path: string, { minTtlMs, maxTtlMs }: { minTtlMs: number; maxTtlMs: number }): void {
  if (minTtlMs <= maxTtlMs) return
  throw new MeshError('INMESH_CONFIG', `${path}.minTtlMs: expected at most maxTtlMs (${maxTtlMs}), got ${minTtlMs}`)
}

function dnsServers(value: unknown): ReturnType<OptionCheck> {
  const expected = 'an array of at least one ip or ip:port'
  if (!Array.isArray(value) || value.length === 0) return expected
  try {
    new Resolver().setServers(value)
    return undefined
  } catch {
    return expected
  }
}
