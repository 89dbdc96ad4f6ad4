import { MeshError } from '../../core/errors.ts'
import type { Identity, TrustBundles } from '../../core/identity.ts'
import { shown } from '../../core/options.ts'
import { readCertificate } from '../certificate.ts'
import { DerError, DerReader, TAG } from '../der.ts'
import { identityOf } from '../identity-of.ts'
import { toPem } from '../pem.ts'
import { parseSpiffeId, spiffeIdProblem } from '../spiffe-id.ts'
import { readSvidResponse, type Svid } from './svid-response.ts'

/** How many names a message lists. */
const MAX_LISTED = 10

/** What one message of the Workload API comes to. */
export interface SvidIdentity {
  readonly identity: Identity
  /** What was left out of it: bundles of foreign trust domains that can't be read. They take nothing from the rest. */
  readonly leftOut: readonly string[]
}

/** How a message is read. */
export interface SvidChoice {
  /** Where it comes from, for errors. */
  readonly from: string
  /** The SVID that the operator gave this hint; the first one if undefined. */
  readonly hint: string | undefined
  /** `clock.wall()`. */
  readonly now: number
}

/**
 * Makes an identity of a message of the Workload API. A message is whole in itself: what it doesn't hold is withdrawn.
 *
 * @throws MeshError INMESH_IDENTITY if it is malformed, lacks something mandatory, has no SVID with the hint, or one that nobody would believe
 */
export function svidIdentity(message: Buffer, { from, hint, now }: SvidChoice): SvidIdentity {
  const fail = (problem: string): never => {
    throw new MeshError('INMESH_IDENTITY', `${from}: ${problem}`)
  }
  const response = readSvidResponse(message) ?? fail('sent a message that is no X509SVIDResponse')
  const svid = chosen(response.svids, hint) ?? fail(notThere(response.svids, hint))
  const missing = missingFields(svid)
  if (missing !== '') fail(`sent an SVID${svid.spiffeId === '' ? '' : ` for ${shown(svid.spiffeId)}`} without ${missing}`)
  const badId = spiffeIdProblem(svid.spiffeId)
  if (badId !== undefined) fail(`sent an SVID for ${shown(svid.spiffeId)}, which is no SPIFFE ID: ${badId}`)
  const { trustDomain } = parseSpiffeId(svid.spiffeId)
  const [federated, leftOut] = federatedBundles(response.federated)
  const identity = identityOf({
    from,
    certificates: certificatesOf(svid.chain, `${from}: x509_svid`).join(''),
    key: toPem('PRIVATE KEY', svid.key),
    trust: Object.fromEntries([...federated, [trustDomain, certificatesOf(svid.bundle, `${from}: bundle`)]]),
    now,
  })
  if (identity.id !== svid.spiffeId) fail(`sent the certificate of ${identity.id} as that of ${svid.spiffeId}`)
  return { identity, leftOut }
}

/** Of several with the same hint the first counts (SPIFFE Workload API, 5.2.1). */
function chosen(svids: readonly Svid[], hint: string | undefined): Svid | undefined {
  return hint === undefined ? svids[0] : svids.find((svid) => svid.hint === hint)
}

function notThere(svids: readonly Svid[], hint: string | undefined): string {
  if (hint === undefined || svids.length === 0) return 'sent no SVID'
  const hints = svids.slice(0, MAX_LISTED).map((svid) => (svid.hint === '' ? 'none' : shown(svid.hint)))
  const more = svids.length > MAX_LISTED ? ` and ${svids.length - MAX_LISTED} more` : ''
  return `sent no SVID with the hint ${shown(hint)}, but ${hints.join(', ')}${more}: change the option hint or the entry's hint`
}

function missingFields({ spiffeId, chain, key, bundle }: Svid): string {
  const fields = [
    spiffeId === '' ? 'spiffe_id' : '',
    chain.length === 0 ? 'x509_svid' : '',
    key.length === 0 ? 'x509_svid_key' : '',
    bundle.length === 0 ? 'bundle' : '',
  ]
  return fields.filter(Boolean).join(', ')
}

type Bundle = readonly [trustDomain: string, certificates: TrustBundles[string]]

function federatedBundles(bundles: ReadonlyMap<string, Buffer>): [read: Bundle[], leftOut: string[]] {
  const read: Bundle[] = []
  const leftOut: string[] = []
  for (const [id, der] of bundles) {
    try {
      const { trustDomain, path } = parseSpiffeId(id)
      if (path !== '') throw new DerError(`expected spiffe://${trustDomain}`)
      read.push([trustDomain, certificatesOf(der, 'bundle')])
    } catch (error) {
      leftOut.push(`${shown(id)} (${(error as Error).message})`)
    }
  }
  return [read, leftOut]
}

/** Certificates in DER, one after another, each as PEM; none is an error too. */
function certificatesOf(der: Buffer, what: string): string[] {
  const reader = new DerReader(der)
  const certificates: string[] = []
  try {
    do {
      const { raw } = reader.next(TAG.sequence)
      readCertificate(raw)
      certificates.push(toPem('CERTIFICATE', raw))
    } while (!reader.done)
  } catch (error) {
    throw new MeshError('INMESH_IDENTITY', `${what}: no certificates in DER: ${(error as Error).message}`)
  }
  return certificates
}
