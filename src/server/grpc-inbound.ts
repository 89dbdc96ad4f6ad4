import {
  ATTEMPT_HEADER,
  CALLER_HEADER,
  readAttempt,
  readCaller,
  readTimeLeft,
  TIME_LEFT_HEADER,
} from '../core/context-headers.ts'
import { Inbound, type Peer } from '../core/inbound.ts'
import type { ConnectionKind } from '../core/tls-observer.ts'
import type { Reception } from './reception.ts'
import { clientAddress, plainAddress } from './trusted-proxies.ts'

/** The request header that counts the attempts before this one (gRFC A6). */
const PREVIOUS_ATTEMPTS_HEADER = 'grpc-previous-rpc-attempts'

/** What grpc-js knows of a call and of the connection that it came on. */
export interface CallSource {
  /** Metadata by its lower-case name. `grpc-timeout` is not in it: grpc-js takes it out. */
  values(name: string): readonly (string | Buffer)[]
  getConnectionInfo(): { readonly remoteAddress?: string | undefined; readonly localPort?: number | undefined }
  /** Of the connection, if grpc-js still has it. */
  readonly socket: unknown
}

/** One gRPC call. What its metadata says is read when somebody asks. */
export class GrpcInbound extends Inbound {
  readonly protocol = 'grpc'
  readonly method = 'POST'
  readonly path: string
  readonly reception: Reception
  readonly #source: CallSource

  /** @param leftMs how long the caller still waits by `grpc-timeout`, in milliseconds; Infinity for ever */
  constructor(reception: Reception, path: string, source: CallSource, leftMs: number) {
    const { clock } = reception.runtime
    const startedAt = clock.now()
    super(clock, startedAt, startedAt + atMost(leftMs, source.values(TIME_LEFT_HEADER)))
    this.reception = reception
    this.path = path
    this.#source = source
  }

  /** The greater of what gRPC and what HTTP proxies say. */
  get attempt(): number {
    const previous = this.#source.values(PREVIOUS_ATTEMPTS_HEADER)
    const said = readAttempt(single(this.#source.values(ATTEMPT_HEADER)))
    return previous.length === 0 ? said : Math.max(said, attemptAfter(single(previous)))
  }

  get caller(): string {
    return readCaller(single(this.#source.values(CALLER_HEADER)))
  }

  get peer(): Peer {
    return { address: this.#address, identity: this.reception.identityOf(this.#source.socket) }
  }

  get clientAddress(): string {
    return clientAddress(this.#address, this.header('x-forwarded-for'), this.reception.trusts)
  }

  override get security(): ConnectionKind {
    return this.reception.securityOf(this.#source.socket)
  }

  override get localPort(): number {
    return this.#source.getConnectionInfo().localPort ?? 0
  }

  header(name: string): string | undefined {
    const values = this.#source.values(name)
    return values.length === 0 ? undefined : values.map(shown).join(', ')
  }

  get #address(): string {
    return plainAddress(this.#source.getConnectionInfo().remoteAddress)
  }
}

/** What the mesh knows of a call, for handlers: peer, client address, deadline, attempt, signal. Undefined when the call came by no mesh. */
export function inboundOf(call: { readonly metadata: object }): Inbound | undefined {
  return (call.metadata as Marked)[INBOUND]
}

/** Lets handlers find it by the metadata that they get: all that grpc-js hands on unchanged. */
export function mark(metadata: object, inbound: Inbound): void {
  ;(metadata as Marked)[INBOUND] = inbound
}

interface Marked {
  [INBOUND]?: Inbound
}

const INBOUND = Symbol('inmesh.inbound')

/** How long it is until a deadline of grpc-js, in milliseconds; Infinity without one, not above 0 when it has passed. */
export function leftUntil(deadline: Date | number): number {
  return deadline === Number.POSITIVE_INFINITY ? deadline : Number(deadline) - Date.now()
}

function atMost(leftMs: number, values: readonly (string | Buffer)[]): number {
  return values.length === 0 ? leftMs : Math.min(leftMs, readTimeLeft(single(values)))
}

/** What came twice says nothing. */
function single(values: readonly (string | Buffer)[]): string | undefined {
  const value = values.length === 1 ? values[0] : undefined
  return typeof value === 'string' ? value : undefined
}

function attemptAfter(previous: string | undefined): number {
  return previous !== undefined && /^\d{1,3}$/.test(previous) ? Number(previous) + 1 : 1
}

function shown(value: string | Buffer): string {
  return typeof value === 'string' ? value : value.toString('base64')
}
