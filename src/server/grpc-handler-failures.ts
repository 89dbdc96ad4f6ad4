import type { Inbound } from '../core/inbound.ts'
import { inboundOf } from './grpc-inbound.ts'
import type { Handler, HandlerCall, HandlerFunction, Respond } from './grpc-inside.ts'

export interface GrpcServerOptions {
  /** Told of what a handler threw or rejected with. Default: a warning of the process, with the handler's stack. */
  readonly onError?: (error: unknown, inbound: Inbound) => void
}

/**
 * Handlers that fail. grpc-js answers for one that throws, but loses what it threw; the rejection of one that is `async` it does not see, so that it ends
 * the process while the caller goes on waiting.
 */
export class HandlerFailures {
  readonly #onError: (error: unknown, inbound: Inbound) => void
  readonly #watched = new WeakSet<HandlerFunction>()
  readonly #told = new Set<string>()

  constructor(onError: GrpcServerOptions['onError']) {
    this.#onError = onError ?? warn
  }

  /** Watches a method's handler from now on. A look at a table for each call but the first. */
  watch(handler: Handler): void {
    const { func } = handler
    if (this.#watched.has(func)) return
    const watched: HandlerFunction = (call, respond) => this.#run(func, call, respond)
    this.#watched.add(watched)
    handler.func = watched
  }

  /** Says so once a method. */
  answeredTwice(path: string): void {
    if (this.#told.has(path)) return
    this.#told.add(path)
    process.emitWarning(`${path}: the handler answered twice; only its first answer was sent`, { type: WARNING })
  }

  #run(func: HandlerFunction, call: HandlerCall, respond: Respond | undefined): unknown {
    try {
      const result = func(call, respond)
      if (result instanceof Promise) result.catch((error: unknown) => this.#rejected(error, call, respond))
      return result
    } catch (error) {
      this.#tell(error, call)
      throw error
    }
  }

  /** An error with a code is an answer, as it is for the callback. What anything else says may be meant for nobody. */
  #rejected(error: unknown, call: HandlerCall, respond: Respond | undefined): void {
    const isAnswer = Number.isInteger((error as { code?: unknown } | undefined)?.code)
    if (!isAnswer) this.#tell(error, call)
    const answer = isAnswer ? error : { code: UNKNOWN, details: 'Unknown error' }
    if (respond === undefined) call.emit('error', answer)
    else respond(answer)
  }

  #tell(error: unknown, call: HandlerCall): void {
    const inbound = inboundOf(call)
    if (inbound !== undefined) this.#onError(error, inbound)
  }
}

const UNKNOWN = 2
const WARNING = 'InmeshHandlerWarning'

function warn(error: unknown, { path }: Inbound): void {
  const detail = error instanceof Error ? error.stack : undefined
  const text = error instanceof Error ? error.message : String(error)
  process.emitWarning(`${path}: the handler threw: ${text}`, { type: WARNING, ...(detail === undefined ? {} : { detail }) })
}
