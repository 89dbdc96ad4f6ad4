import { join, resolve } from 'node:path'
import type { IdentitySourceFactory } from '../core/identity.ts'
import { files } from '../tls/files.ts'
import { localCa } from '../tls/local-ca.ts'
import { spiffe } from '../tls/spiffe.ts'
import { accountOf, usualSource } from '../tls/usual-source.ts'
import { type Invocation, UsageError } from './command.ts'
import { localTrustPlace } from './local-trust.ts'

/** When in its life the local CA renews a leaf. */
const RENEWED_FROM = 0.6
const RENEWED_TO = 0.7

const SOURCES = ['local-ca', 'files', 'spiffe'] as const

type SourceName = (typeof SOURCES)[number]

/** Where this process's identity would come from. */
export interface IdentityPlan {
  readonly name: SourceName
  /** Why this one. */
  readonly because: string
  readonly source: IdentitySourceFactory
  /** Where it keeps what it gives, or where it is asked. */
  readonly places: readonly string[]
  /** When a newer identity is to be expected, for one that began and ends then; in words. */
  refresh(notBefore: number, notAfter: number): string
}

/** Whom the local CA would make: read once, told as often as it is asked for. */
export interface LocalWorkloadName {
  readonly trustDomain: string
  readonly namespace: string
  readonly account: string
}

/** The name under which this environment's processes go, unless options say another. */
export function localName(invocation: Invocation): LocalWorkloadName {
  return {
    trustDomain: invocation.text('trust-domain') ?? 'inmesh.local',
    namespace: invocation.text('namespace') ?? 'default',
    account: invocation.text('service') ?? accountOf(process.env.INMESH_SERVICE ?? ''),
  }
}

/**
 * Chooses the source that is asked for, else the one that the environment offers: a Workload API if it names one, else the machine's own CA.
 *
 * @throws UsageError for options that don't go with it, MeshError for a bad value
 */
export function identityPlan(invocation: Invocation): IdentityPlan {
  const { name, because } = chosen(invocation)
  for (const option of ['service', 'namespace', 'trust-domain']) {
    if (name !== 'local-ca' && invocation.text(option) !== undefined)
      throw new UsageError(`--${option} goes with --source local-ca`)
  }
  if (name !== 'files' && invocation.text('dir') !== undefined) throw new UsageError('--dir goes with --source files')
  if (name === 'local-ca') return { name, because, ...localPlan(localName(invocation)) }
  return { name, because, ...(name === 'files' ? filesPlan(invocation.text('dir') ?? '.') : spiffePlan()) }
}

function chosen(invocation: Invocation): { name: SourceName; because: string } {
  const given = invocation.text('source')
  const known = SOURCES.find((one) => one === given)
  if (given !== undefined && known === undefined) {
    throw new UsageError(`--source: expected one of ${SOURCES.join(', ')}, got ${JSON.stringify(given)}`)
  }
  if (known !== undefined) return { name: known, because: 'it was asked for by --source' }
  if (invocation.text('dir') !== undefined) return { name: 'files', because: 'a directory was given by --dir' }
  return usualSource('')
}

type SourcePlan = Omit<IdentityPlan, 'name' | 'because'>

function localPlan(name: LocalWorkloadName): SourcePlan {
  const source = localCa(name)
  return {
    source,
    places: [localTrustPlace(name.trustDomain)],
    refresh(notBefore, notAfter) {
      const at = (share: number) => `${new Date(notBefore + (notAfter - notBefore) * share).toISOString().slice(0, 16)}Z`
      return `by itself, between ${at(RENEWED_FROM)} and ${at(RENEWED_TO)}`
    },
  }
}

function filesPlan(directory: string): SourcePlan {
  return {
    source: files({ directory }),
    places: ['tls.crt', 'tls.key', 'ca.crt'].map((file) => join(resolve(directory), file)),
    refresh: () => 'when the files change: they are watched, and read every 5 s',
  }
}

function spiffePlan(): SourcePlan {
  return {
    source: spiffe(),
    places: [process.env.SPIFFE_ENDPOINT_SOCKET as string],
    refresh: () => 'when the Workload API sends another',
  }
}
