import type { Certificate } from './certificate.ts'
import { linkerdWorkloadId, spiffeIdProblem } from './spiffe-id.ts'

export interface SubjectIdOptions {
  /** Take the one DNS name of a certificate without URI, if it is of the form that Linkerd gives. */
  readonly linkerdNames: boolean
}

/**
 * The one SPIFFE ID by which a leaf certificate is known (X509-SVID, section 2): its only URI name, with a path. The common name never counts.
 */
export function subjectId(leaf: Certificate, options: SubjectIdOptions): { readonly id: string } | { readonly problem: string } {
  const names = leaf.extensions.subjectAltNames ?? []
  const uris = names.filter(({ form }) => form === 'uri')
  const [uri] = uris
  if (uris.length > 1)
    return { problem: `${uris.length} URI names where exactly one is allowed: issue it with its SPIFFE ID alone` }
  if (uri === undefined) return options.linkerdNames ? linkerdId(leaf) : { problem: NO_ID }
  const problem =
    spiffeIdProblem(uri.value) ?? (uri.value.includes('/', 'spiffe://'.length) ? undefined : 'a workload has a path')
  return problem === undefined ? { id: uri.value } : { problem: `its URI name is no SPIFFE ID: ${problem}` }
}

const NO_ID = 'no URI name (the common name does not count): issue it with its SPIFFE ID as subject alternative name'

function linkerdId(leaf: Certificate): { readonly id: string } | { readonly problem: string } {
  const names = (leaf.extensions.subjectAltNames ?? []).filter(({ form }) => form === 'dns')
  const id = names.length === 1 ? linkerdWorkloadId(names[0]?.value ?? '') : undefined
  return id === undefined || spiffeIdProblem(id) !== undefined ? { problem: NO_ID } : { id }
}
