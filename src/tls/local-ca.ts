import { createPublicKey } from 'node:crypto'
import type { Clock, Runtime } from '../core/clock.ts'
import { DirectoryWatch } from '../core/directory-watch.ts'
import { discreet, type Identity, type IdentitySourceFactory, type IdentityUpdate, type TrustBundles } from '../core/identity.ts'
import { aString, numberFrom, type OptionCheck, readOptions } from '../core/options.ts'
import { Polling } from '../core/polling.ts'
import { identityOf } from './identity-of.ts'
import { IdentitySubscription } from './identity-subscription.ts'
import { issueLeaf, makeKey } from './issue.ts'
import { type LocalRoot, LocalRoots } from './local-roots.ts'
import { trustDomainProblem, workloadId } from './spiffe-id.ts'

/**
 * How often the roots are read and the calendar is looked at, in milliseconds: the system may not say that a file changed, and no timer tells of
 * a calendar that jumped or a machine that slept.
 */
const LOOK_MS = 60_000
/** How long a new root is trusted before leaves are issued from it, in milliseconds: everybody must have read it by then. */
const SETTLE_MS = 10 * LOOK_MS
/** When in its life a leaf is renewed. */
const RENEW_AT = 0.7
/** How much of its life earlier that may be, so that processes that started together don't renew together. */
const RENEW_JITTER = 0.1
/** How much of its life a root has left when its successor is made. */
const SUCCEED_AT = 1 / 3

export interface LocalCaOptions {
  /** The workload's account, the last part of its ID: the mesh's name. Default: `default`. */
  readonly account?: string
  /** Default: `default`. */
  readonly namespace?: string
  /** Processes of one trust domain believe each other. Default: `inmesh.local`. */
  readonly trustDomain?: string
  /** How long a leaf is valid, in milliseconds, from 10 s to 90 days. Default: 24 h. It is renewed at 60 to 70 % of it. */
  readonly leafLifeMs?: number
  /** The runtime directory, see `runtimeDirectory`; only its user may enter it. */
  readonly directory?: string
}

/**
 * An identity from the machine's own CA, without configuration: `spiffe://inmesh.local/ns/default/sa/<account>`. The CA is made when the
 * first process asks for it, in the runtime directory, which its user alone may enter; all processes of that user and trust domain
 * believe each other. Whoever can read the directory can be anybody: it names processes of one user and does not part them.
 *
 * Its root lives for a year and is followed by another after eight months; the old one stays trusted to its end.
 *
 * @throws MeshError INMESH_CONFIG for bad options
 */
export function localCa(options?: LocalCaOptions): IdentitySourceFactory {
  const read = readOptions<Settings>(
    'localCa',
    options,
    { account: 'default', namespace: 'default', trustDomain: 'inmesh.local', leafLifeMs: 86_400_000, directory: undefined },
    {
      account: aPart,
      namespace: aPart,
      trustDomain: aTrustDomain,
      leafLifeMs: numberFrom(10_000, 90 * 86_400_000),
      directory: aString,
    },
  )
  return (runtime) => ({ watch: (onUpdate) => watchLocalCa(runtime, read, onUpdate) })
}

interface Settings extends Required<Omit<LocalCaOptions, 'directory'>> {
  readonly directory: string | undefined
}

const aPart: OptionCheck = (value) =>
  typeof value === 'string' && /^[A-Za-z0-9._-]{1,255}$/.test(value) && value !== '.' && value !== '..'
    ? undefined
    : 'letters, digits, ".", "-" and "_", at most 255'

const aTrustDomain: OptionCheck = (value) => {
  const isName = trustDomainProblem(value as string) === undefined && !(value as string).startsWith('.')
  return isName ? undefined : 'a trust domain: lower-case letters, digits, ".", "-" and "_", at most 255, no "." at its beginning'
}

function watchLocalCa(runtime: Runtime, settings: Settings, onUpdate: (update: IdentityUpdate) => void): () => void {
  const subscription = new IdentitySubscription(onUpdate)
  const workload = new LocalWorkload(runtime, settings, () => polling.wake())
  const polling = new Polling(runtime, {
    maxRetryMs: LOOK_MS,
    async ask(signal) {
      const identity = await workload.look()
      if (!signal.aborted) subscription.identity(identity)
      return workload.restMs()
    },
    failed: (error) => subscription.error(error as Error),
  })
  polling.start()
  return () => {
    subscription.stop()
    polling.stop()
    workload.close()
  }
}

/** One process's identity: looked at often, renewed when it is due. */
class LocalWorkload {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #settings: Settings
  readonly #roots: LocalRoots
  readonly #changed: () => void
  #watch: DirectoryWatch | undefined
  #closed = false
  #current: Identity | undefined
  /** The certificate of the root that signed it. */
  #signer = ''
  /** By the calendar, since that is what its end is dated by. */
  #renewAt = 0

  constructor({ clock, random }: Runtime, settings: Settings, changed: () => void) {
    this.#clock = clock
    this.#random = random
    this.#settings = settings
    this.#roots = new LocalRoots(settings.directory, settings.trustDomain)
    this.#changed = changed
  }

  /** The identity to use now. @throws MeshError INMESH_IDENTITY */
  async look(): Promise<Identity> {
    const now = this.#clock.wall()
    const roots = await this.#trusted(now)
    this.#attach()
    const trust = { [this.#settings.trustDomain]: roots.map(({ certificate }) => certificate) }
    const current = this.#current
    const isGood = current !== undefined && current.notBefore <= now && now < this.#renewAt
    if (!isGood || !roots.some(({ certificate }) => certificate === this.#signer))
      return this.#renew(signerOf(roots, now), trust, now)
    this.#current = discreet({ ...current, trust })
    return this.#current
  }

  /** How long until the next look, in milliseconds. */
  restMs(): number {
    return Math.min(LOOK_MS, Math.max(0, this.#renewAt - this.#clock.wall()))
  }

  close(): void {
    this.#closed = true
    this.#watch?.close()
  }

  /** Oldest first; makes the newest one's successor when it is due. */
  async #trusted(now: number): Promise<readonly LocalRoot[]> {
    const roots = await this.#roots.read(now)
    const newest = roots.at(-1) as LocalRoot
    if (newest.notAfter - now > (newest.notAfter - newest.notBefore) * SUCCEED_AT) return roots
    await this.#roots.succeed(newest, now)
    return this.#roots.read(now)
  }

  async #renew(root: LocalRoot, trust: TrustBundles, now: number): Promise<Identity> {
    const { trustDomain, namespace, account, leafLifeMs } = this.#settings
    const key = makeKey()
    const certificates = await issueLeaf(root, {
      id: workloadId(trustDomain, namespace, account),
      publicKey: createPublicKey(key),
      now,
      lifeMs: leafLifeMs,
    })
    const pem = key.export({ type: 'pkcs8', format: 'pem' }) as string
    const identity = identityOf({ from: 'local CA', certificates, key: pem, trust, now })
    this.#current = identity
    this.#signer = root.certificate
    this.#renewAt = now + (identity.notAfter - now) * (RENEW_AT - RENEW_JITTER * this.#random())
    return identity
  }

  /** Another process's new root is seen at once where the system tells. */
  #attach(): void {
    if (this.#closed) return
    this.#watch ??= new DirectoryWatch(this.#roots.place, (name) => {
      // Drafts come and go.
      if (name === null || name.endsWith('.pem')) this.#changed()
    })
    this.#watch.attach()
  }
}

/** The newest that everybody has had time to read. The first one signs at once, and so does one whose predecessor is about to end. */
function signerOf(roots: readonly LocalRoot[], now: number): LocalRoot {
  const settled = roots.filter(({ notBefore, notAfter }) => notBefore + SETTLE_MS <= now && now + SETTLE_MS < notAfter)
  return (settled.at(-1) ?? roots.at(-1)) as LocalRoot
}
