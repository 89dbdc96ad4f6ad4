import type { Identity, TrustBundles } from '../../core/identity.ts'
import { printable } from '../../core/printable.ts'
import { readCertificate } from '../../tls/certificate.ts'
import { readCertificates } from '../../tls/pem.ts'
import { workloadId } from '../../tls/spiffe-id.ts'
import type { Answer, Command, Invocation, Paint } from '../command.ts'
import { shownDate } from '../duration.ts'
import { firstIdentity } from '../first-identity.ts'
import { columns } from '../help.ts'
import { type IdentityPlan, identityPlan, localName } from '../identity-plan.ts'
import { localAnchors } from '../local-trust.ts'

export const command: Command = {
  summary: 'who a process started here is, until when, and where that comes from',
  takes: '',
  count: [0, 0],
  about: [
    "The source is the one that this environment offers: a SPIFFE Workload API if $SPIFFE_ENDPOINT_SOCKET is set, else this\nmachine's own CA. The latter makes an identity for each process; this command makes none, unless --make asks for it.",
  ],
  options: {
    source: { value: '<local-ca | files | spiffe>', help: 'another source' },
    dir: { value: '<dir>', help: 'where tls.crt, tls.key and ca.crt are (files; default the working directory)' },
    service: { value: '<name>', help: 'of the process (local-ca; default $INMESH_SERVICE, else default)' },
    namespace: { value: '<name>', help: 'of the service (local-ca; default default)' },
    'trust-domain': { value: '<name>', help: 'of the processes that believe each other (local-ca; default inmesh.local)' },
    make: { help: 'make the CA if there is none yet, and an identity to look at (local-ca)' },
  },
  async run(invocation) {
    const plan = identityPlan(invocation)
    const now = invocation.runtime.clock.wall()
    const isLookOnly = plan.name === 'local-ca' && !invocation.isSet('make')
    return answerOf(
      plan,
      isLookOnly ? await planned(invocation) : held(await firstIdentity(plan.source, invocation.runtime)),
      now,
    )
  },
}

/** What is known of an identity. */
interface Found {
  readonly id: string
  /** `made` when it is there, `would-be-made` when a process would get it, `would-make-ca` when that would make the CA besides. */
  readonly state: 'made' | 'would-be-made' | 'would-make-ca'
  /** Null when it isn't made. */
  readonly valid: { readonly notBefore: number; readonly notAfter: number } | null
  readonly trust: readonly TrustedDomain[]
}

interface TrustedDomain {
  readonly trustDomain: string
  /** When each of its anchors ends, in milliseconds since 1970. */
  readonly until: readonly number[]
}

async function planned(invocation: Invocation): Promise<Found> {
  const { trustDomain, namespace, account } = localName(invocation)
  const now = invocation.runtime.clock.wall()
  const anchors = (await localAnchors(trustDomain)).map(({ certificate }) => certificate)
  const until = anchors.filter(({ notBefore, notAfter }) => notBefore <= now && now < notAfter).map(({ notAfter }) => notAfter)
  return {
    id: workloadId(trustDomain, namespace, account),
    state: until.length === 0 ? 'would-make-ca' : 'would-be-made',
    valid: null,
    trust: until.length === 0 ? [] : [{ trustDomain, until }],
  }
}

function held({ id, notBefore, notAfter, trust }: Identity): Found {
  return { id, state: 'made', valid: { notBefore, notAfter }, trust: domainsIn(trust) }
}

function domainsIn(trust: TrustBundles): TrustedDomain[] {
  return Object.entries(trust).map(([trustDomain, texts]) => {
    const ders = texts.flatMap((text) => readCertificates(text, `trust anchors of ${trustDomain}`))
    return { trustDomain, until: ders.map((der) => readCertificate(der).notAfter) }
  })
}

function answerOf(plan: IdentityPlan, found: Found, now: number): Answer {
  const { valid } = found
  const refresh = valid === null ? null : plan.refresh(valid.notBefore, valid.notAfter)
  return {
    json: {
      source: plan.name,
      because: plan.because,
      id: found.id,
      state: found.state,
      notBefore: valid === null ? null : new Date(valid.notBefore).toISOString(),
      notAfter: valid === null ? null : new Date(valid.notAfter).toISOString(),
      refresh,
      trust: found.trust.map(({ trustDomain, until }) => ({ trustDomain, until: until.map((ms) => new Date(ms).toISOString()) })),
      places: plan.places,
    },
    lines: (paint) => linesOf(plan, found, refresh, now, paint),
  }
}

function linesOf(plan: IdentityPlan, found: Found, refresh: string | null, now: number, paint: Paint): string[] {
  const { id, state, valid, trust } = found
  const trusted = trust.map(({ trustDomain, until }) => {
    const ends = until.map((ms) => shownDate(ms, now)).join(', ')
    return `${trustDomain}: ${until.length} ${until.length === 1 ? 'root' : 'roots'}, until ${ends}`
  })
  const rows: (readonly [string, string])[] = [
    ['valid', valid === null ? NOT_MADE[state] : `until ${shownDate(valid.notAfter, now)}`],
    ['refresh', refresh ?? ''],
    ...trusted.map((text, index) => [index === 0 ? 'trusts' : '', text] as const),
    ['source', `${plan.name}: ${plan.because}`],
    ...plan.places.map((place, index) => [index === 0 ? 'from' : '', place] as const),
  ]
  return [
    paint('bold', printable(id)),
    ...columns(rows.filter(([, text]) => text !== '').map(([name, text]) => [name, printable(text)])),
  ]
}

const NOT_MADE: Readonly<Record<Found['state'], string>> = {
  made: '',
  'would-be-made': 'each process gets one of its own when it first speaks TLS, for 24 hours; none was made now',
  'would-make-ca': 'the CA would be made when a process first speaks TLS; nothing was made now (--make makes it)',
}
