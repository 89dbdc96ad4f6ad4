import { aBoolean, aString, numberFrom, type OptionCheck, optionProblems, shown } from './core/options.ts'
import type { TlsMode } from './server/secure-listener.ts'
import { Revocations } from './tls/revocations.ts'
import { parseSpiffeId } from './tls/spiffe-id.ts'
import type { TlsOptions } from './transport/connector.ts'

/** How a mesh secures what it calls and what it serves. */
export interface MtlsOptions {
  /** `permissive` (default): secured ports serve plaintext, too. `strict`: only callers who have proved an identity that is believed. */
  readonly mode?: TlsMode
  /** Who is no longer believed; what it holds may be replaced at any time. Default: nobody. */
  readonly revocations?: Revocations
  /** Files of revocation lists, PEM or DER, of at most 1 MB; read when the mesh is made and whenever they change. They take the place of lists in `revocations`. Default: none. */
  readonly crlFiles?: readonly string[]
  /** Believe Linkerd's DNS names of certificates without a SPIFFE ID. Default: false. */
  readonly linkerdNames?: boolean
  /** How far clocks may differ, in milliseconds, at most an hour. Default: 60000. */
  readonly skewMs?: number
}

/** Whom the endpoints of a service must prove to be. */
export interface ServiceMtlsOptions {
  /** Whether an endpoint of which nobody knows whom to expect is not called at all. Default: false, it is called in plaintext. */
  readonly strict?: boolean
  /** The SPIFFE IDs of which each endpoint must prove one. Default: the one that discovery names. */
  readonly identities?: readonly string[]
}

export interface ServiceMtlsConfig {
  readonly strict: boolean
  readonly identities: readonly string[]
}

/** A service's options, complete; wrong ones are told by `serviceMtlsProblems`. */
export function readServiceMtls(given: ServiceMtlsOptions | undefined, defaults: ServiceMtlsConfig): ServiceMtlsConfig {
  if (given === undefined) return defaults
  return { strict: given?.strict ?? defaults.strict, identities: given?.identities ?? defaults.identities }
}

export function mtlsProblems(path: string, given: unknown): string[] {
  return given === undefined ? [] : optionProblems(path, given, MTLS_CHECKS)
}

export function serviceMtlsProblems(path: string, given: unknown): string[] {
  return given === undefined ? [] : optionProblems(path, given, SERVICE_MTLS_CHECKS)
}

/** What asks for proof where nothing is secured: it would be asked of nobody, and calls would go out in plaintext. */
export function unsecuredProblems(
  mtls: MtlsOptions | undefined,
  { defaults, services }: { defaults: { mtls: ServiceMtlsConfig }; services: ReadonlyMap<string, { mtls: ServiceMtlsConfig }> },
): string[] {
  const asks = ({ mtls: { strict, identities } }: { mtls: ServiceMtlsConfig }) => strict || identities.length > 0
  const paths = [
    ...(mtls?.mode === 'strict' ? ['mtls.mode'] : []),
    ...(asks(defaults) ? ['defaults.mtls'] : []),
    ...[...services]
      .filter(([, service]) => service.mtls !== defaults.mtls && asks(service))
      .map(([name]) => `services.${name}.mtls`),
  ]
  return paths.map((path) => `${path}: asks for identities, and identity is 'off': leave that out, or this`)
}

/** Of the PEM texts for `https:` calls. */
export function tlsProblems(path: string, tls: unknown): string[] {
  if (tls === undefined) return []
  const problems = optionProblems(path, tls, { ca: aPem, cert: aPem, key: aPem, servername: aString })
  const { cert, key } = (tls ?? {}) as TlsOptions
  if (cert !== undefined && key === undefined) problems.push(`${path}.key: missing, as there is a cert`)
  if (key !== undefined && cert === undefined) problems.push(`${path}.cert: missing, as there is a key`)
  return problems
}

const aMode: OptionCheck = (v) => (v === 'permissive' || v === 'strict' ? undefined : "'permissive' or 'strict'")

const spiffeIds: OptionCheck = (v) => {
  const expected = 'a list of SPIFFE IDs such as spiffe://inmesh.local/ns/default/sa/voting'
  if (!Array.isArray(v) || v.length === 0 || v.length > MAX_IDENTITIES) return `${expected}, 1 to ${MAX_IDENTITIES}`
  for (const id of v) {
    try {
      parseSpiffeId(id as string)
    } catch {
      return `${expected}; ${shown(id)} is none`
    }
  }
  return undefined
}

/** They are compared one by one with each connection's. */
const MAX_IDENTITIES = 100

const MTLS_CHECKS: Readonly<Record<keyof MtlsOptions, OptionCheck>> = {
  mode: aMode,
  revocations: (v) => (v instanceof Revocations ? undefined : 'Revocations of inmesh/tls/revocations'),
  crlFiles: (v) =>
    Array.isArray(v) && v.length > 0 && v.every((path) => aString(path) === undefined) ? undefined : 'a list of paths',
  linkerdNames: aBoolean,
  skewMs: numberFrom(0, 3_600_000),
}

const SERVICE_MTLS_CHECKS: Readonly<Record<keyof ServiceMtlsOptions, OptionCheck>> = {
  strict: aBoolean,
  identities: spiffeIds,
}

function aPem(v: unknown): string | undefined {
  const texts = Array.isArray(v) ? v : [v]
  return texts.every((t) => typeof t === 'string' && t.includes('-----BEGIN ')) ? undefined : 'a text in PEM'
}
