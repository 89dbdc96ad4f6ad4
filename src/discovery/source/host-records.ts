import { promises as dns, type RecordWithTtl } from 'node:dns'
import { isIP } from 'node:net'
import type { Runtime } from '../../core/clock.ts'

/** How long one round of questions may take, in milliseconds. */
const ANSWER_MS = 5_000
/** The system's resolver tells no TTL; this is how long its answers are taken to hold, in milliseconds. */
const LOOKUP_TTL_MS = 5_000

/** All addresses of a host, and how long they hold. */
export interface HostAnswer {
  readonly hosts: readonly string[]
  /** In milliseconds, not clamped; 0 when part of the answer is missing. */
  readonly ttlMs: number
}

/**
 * Resolves host names with their TTLs. A family (A or AAAA) that can't be asked keeps its last records, so that half an
 * answer does not take away the other half.
 *
 * Names that DNS does not have go to the system's resolver, which reads /etc/hosts and appends search domains (`voting` in a
 * Kubernetes namespace); not so when `servers` are given, which then are the only ones asked.
 */
export class HostRecords {
  readonly #runtime: Runtime
  readonly #resolver = new dns.Resolver({ timeout: 1_000, tries: 3 })
  readonly #systemToo: boolean
  readonly #known = new Map<string, readonly RecordWithTtl[]>()

  constructor(runtime: Runtime, servers?: readonly string[]) {
    this.#runtime = runtime
    this.#systemToo = servers === undefined
    if (servers !== undefined) this.#resolver.setServers(servers)
  }

  /** Rejects with the resolver's error, whose `code` says why: ENOTFOUND, ENODATA, ETIMEOUT, ESERVFAIL ... */
  async resolve(host: string, signal: AbortSignal): Promise<HostAnswer> {
    if (isIP(host) !== 0) return { hosts: [host], ttlMs: Number.POSITIVE_INFINITY }
    // RFC 6761 section 6.3: localhost is never asked of DNS.
    if (/(^|\.)localhost\.?$/i.test(host)) return lookup(host)
    const [a, aaaa] = await this.within(signal, (resolver) =>
      Promise.allSettled([resolver.resolve4(host, { ttl: true }), resolver.resolve6(host, { ttl: true })]),
    )
    const records = [...this.#keep(`A ${host}`, a), ...this.#keep(`AAAA ${host}`, aaaa)]
    const failed = [a, aaaa].filter(isFailure)
    if (records.length > 0 && failed.length < 2) {
      const ttlMs = failed.length > 0 ? 0 : Math.min(...records.map(({ ttl }) => ttl)) * 1_000
      return { hosts: records.map(({ address }) => address), ttlMs }
    }
    // Without a record both were rejected, if only with ENODATA.
    const reason = (failed[0] ?? [a, aaaa].find(isRejected))?.reason
    if (!this.#systemToo || records.length > 0) throw reason
    return lookup(host).catch(() => Promise.reject(reason))
  }

  /** Runs questions that are abandoned when the signal says so, or after 5 s. */
  async within<T>(signal: AbortSignal, ask: (resolver: dns.Resolver) => Promise<T>): Promise<T> {
    const abandon = () => {
      timer.cancel()
      this.#resolver.cancel()
    }
    const timer = this.#runtime.clock.after(ANSWER_MS, abandon)
    signal.addEventListener('abort', abandon, { once: true })
    try {
      return await ask(this.#resolver)
    } finally {
      timer.cancel()
      signal.removeEventListener('abort', abandon)
    }
  }

  #keep(question: string, answer: PromiseSettledResult<readonly RecordWithTtl[]>): readonly RecordWithTtl[] {
    if (isFailure(answer)) return this.#known.get(question) ?? []
    const records = answer.status === 'fulfilled' ? answer.value : []
    this.#known.set(question, records)
    return records
  }
}

/** Why a host could not be resolved, as the end of a message: `no address for voting (ENOTFOUND)`. */
export function resolveProblem(host: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error)
  if (isNoRecord(error)) return `no address for ${host} (${code})`
  // The resolver says ECANCELLED when it was abandoned.
  if (code === 'ETIMEOUT' || code === 'ECANCELLED') return `no answer for ${host} in ${ANSWER_MS} ms (ETIMEOUT)`
  return `can't resolve ${host} (${code})`
}

/** Whether DNS answered that there is no such record, in contrast to not answering. */
export function isNoRecord(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOTFOUND' || code === 'ENODATA'
}

async function lookup(host: string): Promise<HostAnswer> {
  const found = await dns.lookup(host, { all: true, order: 'verbatim' })
  return { hosts: found.map(({ address }) => address), ttlMs: LOOKUP_TTL_MS }
}

function isRejected(answer: PromiseSettledResult<unknown>): answer is PromiseRejectedResult {
  return answer.status === 'rejected'
}

function isFailure(answer: PromiseSettledResult<unknown>): answer is PromiseRejectedResult {
  return isRejected(answer) && !isNoRecord(answer.reason)
}
