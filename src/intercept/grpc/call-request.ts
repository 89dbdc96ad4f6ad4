import { Metadata } from '@grpc/grpc-js'
import type { Call } from '../../core/call.ts'
import { CALLER_HEADER } from '../../core/context-headers.ts'
import { requiredIdentities } from '../../core/identity-requirement.ts'

/** The request header that counts the attempts before this one (gRFC A6). */
const PREVIOUS_ATTEMPTS = 'grpc-previous-rpc-attempts'

/** A call as grpc-js describes it: what strategies see of it, and what is sent of its metadata. */
export class CallRequest implements Call {
  readonly authority: string
  readonly protocol = 'grpc'
  readonly method = 'POST'
  readonly path: string
  readonly requiredIds: readonly string[] | undefined = requiredIdentities()
  /** The caller's own, copied when the call starts; empty before. */
  metadata: Metadata = NONE
  /** The status code that the application was given; -1 before. */
  statusCode = -1
  readonly #isIdempotent: (path: string) => boolean

  constructor(authority: string, path: string, isIdempotent: (path: string) => boolean) {
    this.authority = authority
    this.path = path
    this.#isIdempotent = isIdempotent
  }

  /** Only when the caller says so: of the method, or of this call by `new Metadata({ idempotentRequest: true })`. */
  get idempotent(): boolean {
    return this.metadata.getOptions().idempotentRequest === true || this.#isIdempotent(this.path)
  }

  get waitsForReady(): boolean {
    return this.metadata.getOptions().waitForReady === true
  }

  get resent(): boolean {
    return false
  }

  /** @param caller this process's own service; empty when it has none */
  takeMetadata(metadata: Metadata, caller: string): void {
    this.metadata = metadata.clone()
    if (caller !== '' && this.metadata.get(CALLER_HEADER).length === 0) this.metadata.set(CALLER_HEADER, caller)
  }

  header(name: string): string | undefined {
    const values = this.metadata.get(name)
    if (values.length === 0) return undefined
    return values.map((value) => (typeof value === 'string' ? value : value.toString('base64'))).join(', ')
  }

  /** What one attempt sends. A call that waits until it succeeds does so here, not in one endpoint's channel. */
  metadataFor(number: number): Metadata {
    const told = this.numberOf(number)
    if (told === 1 && !this.waitsForReady) return this.metadata
    const metadata = this.metadata.clone()
    if (told > 1) metadata.set(PREVIOUS_ATTEMPTS, String(told - 1))
    if (this.waitsForReady) metadata.setOptions({ ...metadata.getOptions(), waitForReady: false })
    return metadata
  }

  /** The number of an attempt as the next hop is told it. */
  protected numberOf(attempt: number): number {
    return attempt
  }

  /** As grpc-js does, lets the application see in the answer that there were others. */
  noteAttempts(metadata: Metadata, number: number): void {
    if (number > 1) metadata.set(PREVIOUS_ATTEMPTS, String(number - 1))
  }
}

const NONE = new Metadata()
