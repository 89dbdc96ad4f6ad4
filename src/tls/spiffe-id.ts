import { MeshError } from '../core/errors.ts'
import { shown } from '../core/options.ts'

/** The most bytes an ID may have (SPIFFE-ID, section 2.3). */
const MAX_ID = 2_048
/** The most bytes a trust domain's name may have (SPIFFE-ID, section 2.1). */
const MAX_TRUST_DOMAIN = 255
/** What stands between workload and control plane in the names that Linkerd gives. */
const LINKERD_INFIX = '.serviceaccount.identity.'

/** A SPIFFE ID in its two parts. */
export interface SpiffeId {
  /** Lower-case letters, digits, `.`, `-` and `_`. */
  readonly trustDomain: string
  /** Empty for the trust domain itself, else `/segment/segment`; case counts. */
  readonly path: string
}

/**
 * Reads `spiffe://<trust domain>/<path>` as strictly as the SPIFFE-ID specification writes it: no upper case in the trust domain, no port,
 * query, fragment, percent sign or user, no empty, `.` or `..` segment, no slash at the end, at most 2048 bytes.
 *
 * @throws MeshError INMESH_IDENTITY that says what is wrong
 */
export function parseSpiffeId(text: string): SpiffeId {
  const problem = spiffeIdProblem(text)
  if (problem !== undefined) throw new MeshError('INMESH_IDENTITY', `${shown(text)} is no SPIFFE ID: ${problem}`)
  return splitSpiffeId(text)
}

/** What keeps a text from being a SPIFFE ID; undefined when it is one. */
export function spiffeIdProblem(text: string): string | undefined {
  if (typeof text !== 'string') return `expected a string, got ${shown(text)}`
  if (text.length > MAX_ID) return `${text.length} characters, at most ${MAX_ID} are allowed`
  if (!text.startsWith('spiffe://')) return 'expected spiffe:// at its beginning'
  const { trustDomain, path } = splitSpiffeId(text)
  return trustDomainProblem(trustDomain) ?? pathProblem(path)
}

/** What keeps a text from being a trust domain's name; undefined when it is one. */
export function trustDomainProblem(name: string): string | undefined {
  if (typeof name !== 'string' || name === '') return 'the trust domain is missing'
  if (name.length > MAX_TRUST_DOMAIN)
    return `a trust domain of ${name.length} characters, at most ${MAX_TRUST_DOMAIN} are allowed`
  return /^[a-z0-9._-]+$/.test(name) ? undefined : 'a trust domain has lower-case letters, digits, ".", "-" and "_" only'
}

/** `spiffe://<trust domain><path>`. @throws MeshError INMESH_IDENTITY if that is no SPIFFE ID */
export function formatSpiffeId({ trustDomain, path }: SpiffeId): string {
  const id = `spiffe://${trustDomain}${path}`
  parseSpiffeId(id)
  return id
}

/**
 * The ID of a workload as Kubernetes meshes name it: `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.
 *
 * @throws MeshError INMESH_IDENTITY if a part has characters that an ID may not have
 */
export function workloadId(trustDomain: string, namespace: string, account: string): string {
  const id = `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`
  const problem = [namespace, account].some((part) => part.includes('/')) ? 'a part of it has a "/"' : spiffeIdProblem(id)
  if (problem !== undefined) throw new MeshError('INMESH_IDENTITY', `${shown(id)} is no SPIFFE ID: ${problem}`)
  return id
}

/**
 * Reads the DNS name by which Linkerd knows a workload, `<account>.<namespace>.serviceaccount.identity.<control plane>.<trust domain>`, as
 * the SPIFFE ID `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. An account may contain dots, a namespace may not.
 *
 * @returns undefined if it is no such name
 */
export function linkerdWorkloadId(dnsName: string): string | undefined {
  if (dnsName.length > 253 || !dnsName.split('.').every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)))
    return undefined
  const parts = dnsName.split(LINKERD_INFIX)
  // A second infix could be meant as part of the account or of the trust domain: what can be read in two ways is not read.
  if (parts.length !== 2 || `.${dnsName}`.includes(`${LINKERD_INFIX}serviceaccount.identity.`)) return undefined
  const [workload, rest] = parts as [string, string]
  const namespaceAt = workload.lastIndexOf('.')
  const controlPlaneEnd = rest.indexOf('.')
  if (namespaceAt <= 0 || controlPlaneEnd <= 0) return undefined
  const [account, namespace] = [workload.slice(0, namespaceAt), workload.slice(namespaceAt + 1)]
  return `spiffe://${rest.slice(controlPlaneEnd + 1)}/ns/${namespace}/sa/${account}`
}

/** Of a text that begins as a SPIFFE ID does. */
function splitSpiffeId(text: string): SpiffeId {
  const slash = text.indexOf('/', 'spiffe://'.length)
  const end = slash < 0 ? text.length : slash
  return { trustDomain: text.slice('spiffe://'.length, end), path: text.slice(end) }
}

function pathProblem(path: string): string | undefined {
  if (path === '') return undefined
  if (path.endsWith('/')) return 'a slash at the end'
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') return 'an empty segment in its path'
    if (segment === '.' || segment === '..') return `a segment "${segment}" in its path`
    if (!/^[A-Za-z0-9._-]+$/.test(segment)) return 'a path has letters, digits, ".", "-" and "_" only'
  }
  return undefined
}
