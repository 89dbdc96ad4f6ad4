import type { Runtime, Timer } from '../../core/clock.ts'
import { MeshError } from '../../core/errors.ts'
import type { IdentityUpdate } from '../../core/identity.ts'
import { Polling } from '../../core/polling.ts'
import { IdentitySubscription } from '../identity-subscription.ts'
import { StreamEnded, serverStream } from './server-stream.ts'
import { svidIdentity } from './svid-identity.ts'
import type { WorkloadEndpoint } from './workload-endpoint.ts'

const PATH = '/SpiffeWorkloadAPI/FetchX509SVID'
/** Without it every server refuses: it shows that nobody was tricked into sending the request (SPIFFE Workload Endpoint, 3). */
const SECURITY_HEADER = { 'workload.spiffe.io': 'true' }
/** The longest wait after a failure, in milliseconds. */
const MAX_RETRY_MS = 30_000
/** How long to wait, at most, before following a stream that ended after it had served, in milliseconds: servers restart. */
const RESUME_MS = 1_000
/** How often it is looked whether the identity has run out though the stream stands, in milliseconds: servers get stuck and calendars jump. */
const EXPIRY_MS = 30_000
/** How many bundles a message lists. */
const MAX_LISTED = 10
const INVALID_ARGUMENT = 3
const PERMISSION_DENIED = 7
const UNIMPLEMENTED = 12

/** One watcher's connection to a Workload API, made again and again. */
export class WorkloadWatch {
  readonly #runtime: Runtime
  readonly #endpoint: WorkloadEndpoint
  readonly #hint: string | undefined
  readonly #subscription: IdentitySubscription
  readonly #polling: Polling

  constructor(
    runtime: Runtime,
    endpoint: WorkloadEndpoint,
    hint: string | undefined,
    onUpdate: (update: IdentityUpdate) => void,
  ) {
    this.#runtime = runtime
    this.#endpoint = endpoint
    this.#hint = hint
    this.#subscription = new IdentitySubscription(onUpdate)
    this.#polling = new Polling(runtime, {
      maxRetryMs: MAX_RETRY_MS,
      ask: (signal) => this.#follow(signal),
      failed: (error) => this.#tell(error),
    })
    this.#polling.start()
  }

  /** Ends it; idempotent. */
  stop(): void {
    this.#subscription.stop()
    this.#polling.stop()
  }

  /** Follows one stream to its end. Why one ended that had served is told only if the next can't be had either. */
  async #follow(signal: AbortSignal): Promise<number> {
    let served = false
    const ending = new AbortController()
    const end = () => ending.abort()
    const expiry = this.#onExpiry(end)
    signal.addEventListener('abort', end, { once: true })
    const onMessage = (message: Buffer) => {
      this.#take(message)
      served = true
    }
    try {
      const call = { endpoint: this.#endpoint, path: PATH, headers: SECURITY_HEADER, onMessage }
      return await serverStream(this.#runtime.clock, call, ending.signal)
    } catch (error) {
      if (!served) throw error
      return RESUME_MS * (0.5 + this.#runtime.random() / 2)
    } finally {
      expiry.cancel()
      signal.removeEventListener('abort', end)
    }
  }

  /** Calls back once, when the identity has run out. */
  #onExpiry(expired: () => void): Timer {
    const { clock } = this.#runtime
    const look = () => {
      if (clock.wall() > (this.#subscription.last?.notAfter ?? Number.POSITIVE_INFINITY)) expired()
      else timer = clock.after(EXPIRY_MS, look)
    }
    let timer = clock.after(EXPIRY_MS, look)
    return { cancel: () => timer.cancel() }
  }

  #take(message: Buffer): void {
    const choice = { from: this.#from, hint: this.#hint, now: this.#runtime.clock.wall() }
    const { identity, leftOut } = svidIdentity(message, choice)
    this.#subscription.identity(identity)
    if (leftOut.length === 0) return
    const listed = leftOut.slice(0, MAX_LISTED).join(', ')
    this.#subscription.error(this.#problem(`sent bundles of other trust domains that can't be read: ${listed}`))
  }

  #tell(error: unknown): void {
    if (!(error instanceof StreamEnded)) return this.#subscription.error(error as Error)
    // Who has served before doesn't find fault with the request, whatever it says.
    const final = this.#subscription.last === undefined && isFinal(error)
    this.#subscription.error(this.#problem(`${error.message}${final ? '; not asked again' : advice(error)}`, error))
    if (final) this.#polling.stop()
  }

  get #from(): string {
    return `spiffe: ${this.#endpoint.uri}`
  }

  #problem(text: string, cause?: unknown): MeshError {
    return MeshError.refusal('INMESH_IDENTITY', `${this.#from}: ${text}`, { cause })
  }
}

/** The fault is in the request: it would be refused again (SPIFFE Workload Endpoint, appendix A). */
function isFinal({ status }: StreamEnded): boolean {
  return status === INVALID_ARGUMENT || status === UNIMPLEMENTED
}

/** What to do about it, where the message alone doesn't say. */
function advice({ status, cause }: StreamEnded): string {
  if (status === PERMISSION_DENIED)
    return "; register this workload with its SPIRE server, or see to it that the entry's selectors match it"
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case 'ENOENT':
      return '; is the agent running, and its socket mounted here?'
    case 'ECONNREFUSED':
      return '; is the agent running?'
    case 'EACCES':
      return '; let the user of this process write to the socket'
    default:
      return ''
  }
}
