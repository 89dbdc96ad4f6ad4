import { AsyncResource } from 'node:async_hooks'
import type { CallCredentials, Metadata } from '@grpc/grpc-js'
import type { AttemptCall, GrpcCall } from './attempt-call.ts'
import { CallRequest } from './call-request.ts'
import { type MessageContext, Outbox } from './outbox.ts'

/** What the client wants of a call, remembered for as long as another attempt may have to do it, too. */
export abstract class ClientCall extends CallRequest {
  /** The attempt whose events reach the application; of several, the oldest until one is answered. */
  current: AttemptCall | undefined
  /** The application has its status, or will get it in a moment. */
  done = false
  readonly outbox: Outbox = new Outbox()
  /** The attempt made last. */
  protected last: AttemptCall | undefined
  protected credentials: CallCredentials | undefined
  /** The client has asked for a message. */
  protected reading = false
  #scope: AsyncResource | undefined

  /** Where the call goes while it has no connection. */
  protected abstract readonly target: string

  /** The caller's async context, for what happens later on other events; kept from the first time that somebody asks. */
  get scope(): AsyncResource {
    this.#scope ??= new AsyncResource('INMESH_CALL')
    return this.#scope
  }

  sendMessageWithContext(context: MessageContext, message: Buffer): void {
    this.outbox.push(context, message)
    if (this.done) this.outbox.release()
    else this.current?.send()
  }

  halfClose(): void {
    this.outbox.finished = true
    this.current?.finish()
  }

  startRead(): void {
    this.reading = true
    this.current?.read()
  }

  setCredentials(credentials: CallCredentials): void {
    this.credentials = credentials
  }

  getPeer(): string {
    return this.last?.peer ?? this.target
  }

  getAuthContext(): ReturnType<GrpcCall['getAuthContext']> {
    return this.last?.authContext ?? null
  }

  /** Has an attempt do what was wanted so far. */
  protected take(attempt: AttemptCall, metadata: Metadata): void {
    this.current = attempt
    this.last = attempt
    attempt.start(metadata, this.reading)
  }
}
