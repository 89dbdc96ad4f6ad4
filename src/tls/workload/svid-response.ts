import { eachField } from '../../core/protobuf.ts'

/** More of one kind are not taken: each costs memory, and a workload has a handful. */
const MAX_ENTRIES = 10_000

/** What the Workload API answers: the message `X509SVIDResponse`, without its revocation lists. */
export interface SvidResponse {
  /** The first is the default. */
  readonly svids: readonly Svid[]
  /** Trust anchors of foreign trust domains, in DER one after another, by the SPIFFE ID of the trust domain. */
  readonly federated: ReadonlyMap<string, Buffer>
}

/** One identity of the workload: the message `X509SVID`. What was not sent is empty. */
export interface Svid {
  readonly spiffeId: string
  /** The leaf and its intermediates, in DER one after another. */
  readonly chain: Buffer
  /** PKCS#8 in DER. */
  readonly key: Buffer
  /** The trust anchors of its trust domain, in DER one after another. */
  readonly bundle: Buffer
  /** What the operator says it is for; empty when nothing was said. */
  readonly hint: string
}

const NOTHING = Buffer.alloc(0)
const SVIDS = 1
const FEDERATED_BUNDLES = 3

/** @returns undefined when it is no such message, or one of more than 10,000 entries */
export function readSvidResponse(message: Buffer): SvidResponse | undefined {
  const svids: Svid[] = []
  const federated = new Map<string, Buffer>()
  const whole = eachField(message, (number, { wire, bytes }) => {
    if (number !== SVIDS && number !== FEDERATED_BUNDLES) return true
    if (wire !== 2 || svids.length + federated.size >= MAX_ENTRIES) return false
    const fields = bytesByNumber(bytes)
    if (fields === undefined) return false
    if (number === SVIDS) svids.push(svidOf(fields))
    else federated.set(textOf(fields[1]), fields[2] ?? NOTHING)
    return true
  })
  return whole ? { svids, federated } : undefined
}

/** Fields 1 to 5 of a message that has only texts and bytes; of one that comes twice the last counts. */
function bytesByNumber(message: Buffer): (Buffer | undefined)[] | undefined {
  const fields: (Buffer | undefined)[] = [undefined, undefined, undefined, undefined, undefined, undefined]
  const whole = eachField(message, (number, { wire, bytes }) => {
    if (number < 1 || number > 5) return true
    fields[number] = bytes
    return wire === 2
  })
  return whole ? fields : undefined
}

function svidOf(fields: readonly (Buffer | undefined)[]): Svid {
  const [, spiffeId, chain = NOTHING, key = NOTHING, bundle = NOTHING, hint] = fields
  return { spiffeId: textOf(spiffeId), chain, key, bundle, hint: textOf(hint) }
}

const textOf = (bytes: Buffer | undefined): string => bytes?.toString('utf8') ?? ''
