import { parseAuthority } from './core/address.ts'
import { MeshError } from './core/errors.ts'
import type { IdentitySourceFactory } from './core/identity.ts'
import { anything, aString, type OptionCheck, optionProblems, shown } from './core/options.ts'
import { type MtlsOptions, mtlsProblems, unsecuredProblems } from './mtls-options.ts'
import type { DrainOptions } from './server/drain.ts'
import type { ReceptionOptions } from './server/reception.ts'
import {
  aroundBalancer,
  aStrategy,
  builtIn,
  isObject,
  type Named,
  readService,
  readStrategy,
  type ServiceConfig,
  type ServiceOptions,
} from './service-config.ts'
import { usualSource } from './tls/usual-source.ts'
/** How a mesh is made. */
export interface MeshOptions {
  /** This process's own service, by which callers are told apart. Default: `INMESH_SERVICE`, else empty. */
  readonly name?: string
  /** This process's failure domain, as discovery names zones; calls stay in it while enough of it is well (`zones`). Default: `INMESH_ZONE`, else none. */
  readonly zone?: string
  /** Where this process's identity comes from. Default: `spiffe` if `SPIFFE_ENDPOINT_SOCKET` is set, else `local-ca`. `off`: nothing is secured. */
  readonly identity?: IdentitySourceFactory | Named | 'off'
  /** How callers and endpoints are secured. */
  readonly mtls?: MtlsOptions
  /** By the host of their URLs, `voting`, or with a port for that port alone, `voting:8080`. */
  readonly services?: Readonly<Record<string, ServiceOptions>>
  /** For every service, where it does not say otherwise. */
  readonly defaults?: ServiceOptions
  /** Whether plain host names of one label that were not configured are looked up in the environment. Default: true. */
  readonly implicitServices?: boolean
  /** How requests to this process are received: who may ask for what, limits, deadlines, trusted proxies. Default: nothing is refused. */
  readonly inbound?: Partial<ReceptionOptions>
  /** How `mesh.drain()` takes its leave. Default: 1 s of notice, 25 s of grace in all. */
  readonly drain?: Partial<DrainOptions>
}

/** A mesh's options, complete. */
export interface MeshConfig {
  readonly name: string
  readonly zone: string | undefined
  readonly implicitServices: boolean
  /** Undefined when nothing is to be secured. */
  readonly identity: IdentitySourceFactory | undefined
  readonly mtls: MtlsOptions
  readonly inbound: Partial<ReceptionOptions> | undefined
  readonly drain: Partial<DrainOptions> | undefined
  readonly services: ReadonlyMap<string, ServiceConfig>
  /** For services that were not configured. */
  readonly defaults: ServiceConfig
}

/**
 * Checks a mesh's options and fills in every default.
 *
 * @throws MeshError INMESH_CONFIG with all problems at once, a line each: the option's path, what was expected, what was got
 */
export function readConfig(options: MeshOptions): MeshConfig {
  const problems = optionProblems('mesh', options, MESH_CHECKS).map((p) => p.replace(/^mesh\./, ''))
  const given: MeshOptions = isObject(options) ? options : {}
  const zone = given.zone ?? (process.env.INMESH_ZONE || undefined)
  const around = aroundBalancer(aString(zone) === undefined ? zone : undefined)
  const defaults = readService('defaults', given.defaults, builtIn(around), around, problems)
  const services = new Map<string, ServiceConfig>()
  for (const [name, service] of Object.entries(isObject(given.services) ? given.services : {})) {
    if (!isServiceKey(name))
      problems.push(`services.${name}: expected a host in lower case, with or without a port, got ${shown(name)}`)
    services.set(name, readService(`services.${name}`, service, defaults, around, problems))
  }
  problems.push(...mtlsProblems('mtls', given.mtls))
  const name = given.name ?? process.env.INMESH_SERVICE ?? ''
  const identity = readIdentity(given.identity, typeof name === 'string' ? name : '', problems)
  if (given.identity === 'off') problems.push(...unsecuredProblems(given.mtls, { defaults, services }))
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return {
    name,
    zone,
    implicitServices: given.implicitServices ?? true,
    identity,
    mtls: given.mtls ?? {},
    inbound: given.inbound,
    drain: given.drain,
    services,
    defaults,
  }
}

function readIdentity(given: MeshOptions['identity'], name: string, problems: string[]): IdentitySourceFactory | undefined {
  if (given !== undefined) return readStrategy<IdentitySourceFactory>('identity', 'identity', given, undefined, problems)
  try {
    return usualSource(name).source
  } catch (error) {
    problems.push(`identity: ${(error as Error).message}`)
    return undefined
  }
}

/** As the host of a URL reads: lower case, IPv6 in brackets and in its canonical form. */
function isServiceKey(name: string): boolean {
  const authority = parseAuthority(name)
  if (authority === undefined) return false
  const { host, port } = authority
  return name === (host.includes(':') ? `[${host}]` : host) + (port === undefined ? '' : `:${port}`)
}

const anObject: OptionCheck = (v) => (isObject(v) ? undefined : 'an object')

const MESH_CHECKS: Readonly<Record<keyof MeshOptions, OptionCheck>> = {
  name: aString,
  zone: aString,
  services: anObject,
  // its problems are told with those of the services
  defaults: anything,
  identity: aStrategy,
  mtls: anything,
  implicitServices: (v) => (typeof v === 'boolean' ? undefined : 'true or false'),
  // checked by those who read them
  inbound: anything,
  drain: anything,
}
