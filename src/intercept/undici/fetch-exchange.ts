import { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { isRedirectStatus, redirected } from './fetch-redirect.ts'
import type { FetchRequest } from './fetch-request.ts'
import { MeshResponse } from './response.ts'
import { ResponseBody } from './response-body.ts'
import { decodersFor, ResponseDecoding } from './response-decoding.ts'
import type { ReceivedHeaders } from './response-headers.ts'
import type { UnreadResponses } from './response-unread.ts'

/** Who waits for the response, and with what it is asked for. The same for every hop of a fetch. */
export interface FetchCaller {
  readonly dispatcher: Dispatcher
  readonly unread: UnreadResponses
  readonly resolve: (response: Response) => void
  readonly reject: (error: unknown) => void
}

/**
 * Sends one hop of a fetch and turns what the dispatcher reports into a `Response`, an error, or the next hop. An exchange of the mesh's takes it as the caller's
 * context, and need not make one of its own.
 */
export class FetchExchange extends AsyncResource implements Dispatcher.DispatchHandler {
  /** Let go once it has its answer, or the next hop sees to it: its promise holds the response, which must stay collectable. */
  #caller: FetchCaller | undefined
  readonly #request: FetchRequest
  #controller: Dispatcher.DispatchController | undefined
  #aborted = false
  #ended = false
  #body: ResponseBody | undefined
  #decoding: ResponseDecoding | undefined

  constructor(caller: FetchCaller, request: FetchRequest) {
    super('INMESH_CALL')
    this.#caller = caller
    this.#request = request
  }

  start(): void {
    // The exchange listens itself (`handleEvent`), which saves a closure.
    this.#request.signal?.addEventListener('abort', this)
    try {
      this.#caller?.dispatcher.dispatch(this.#request.options, this)
    } catch (error) {
      this.onResponseError(undefined, error as Error)
    }
  }

  /** The caller's signal: whatever is not read is lost. */
  handleEvent(): void {
    const { signal } = this.#request
    signal?.removeEventListener('abort', this)
    this.#aborted = true
    const reason: unknown = signal?.reason
    this.#fail(reason)
    this.#decoding?.stop()
    this.#body?.abort(reason)
    if (!this.#ended) this.#controller?.abort(reason as Error)
  }

  // ---- from the dispatcher

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(this.#request.signal?.reason as Error)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText: string | undefined,
  ): void {
    if (status < 200 || this.#caller === undefined) return
    const { redirect } = this.#request
    if (isRedirectStatus(status) && redirect !== 'manual') {
      if (redirect === 'error') return this.#giveUp(new Error('unexpected redirect'))
      const location = joined(headers.location)
      if (location !== undefined) return this.#follow(status, location)
    }
    const body = this.#bodyOf(controller, status, headers)
    if (this.#caller === undefined) return
    this.#body = body
    this.#answer(controller, status, headers, statusText ?? '', body)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#decoding === undefined) this.#body?.push(chunk)
    else this.#decoding.push(chunk)
  }

  onResponseEnd(): void {
    this.#ended = true
    this.#request.signal?.removeEventListener('abort', this)
    if (this.#decoding === undefined || !this.#decoding.end()) this.#body?.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#ended = true
    this.#request.signal?.removeEventListener('abort', this)
    if (this.#caller !== undefined) this.#fail(networkError(error))
    this.#decoding?.stop()
    this.#body?.fail(new TypeError('terminated', { cause: error }))
  }

  // ---- inside

  #answer(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText: string,
    body: ResponseBody | undefined,
  ): void {
    const { url, redirects, crossOrigin } = this.#request
    const head = {
      url,
      redirected: redirects > 0,
      type: crossOrigin ? ('cors' as const) : ('basic' as const),
      status,
      statusText,
      headers: (controller.rawHeaders ?? headers) as ReceivedHeaders,
    }
    const caller = this.#caller as FetchCaller
    this.#caller = undefined
    caller.resolve(new MeshResponse(head, body, caller.unread))
  }

  /** The body, when there can be one; with its decoder, when it needs one. */
  #bodyOf(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): ResponseBody | undefined {
    if (status === 204 || status === 205 || status === 304 || this.#request.options.method === 'HEAD') return undefined
    const encoding = joined(headers['content-encoding'])
    return encoding === undefined ? new ResponseBody(controller, this.#request.signal) : this.#decoded(controller, encoding)
  }

  #decoded(controller: Dispatcher.DispatchController, encoding: string): ResponseBody | undefined {
    try {
      const decoders = decodersFor(encoding)
      if (decoders.length === 0) return new ResponseBody(controller, this.#request.signal)
      const decoding = new ResponseDecoding(controller, decoders, (error) => this.#undecodable(error))
      const body = new ResponseBody(decoding, this.#request.signal)
      decoding.feed(body)
      this.#decoding = decoding
      return body
    } catch (error) {
      this.#giveUp(error as Error)
      return undefined
    }
  }

  #undecodable(error: Error): void {
    this.#body?.fail(new TypeError('terminated', { cause: error }))
    if (!this.#ended) this.#controller?.abort(error)
  }

  #follow(status: number, location: string): void {
    const next = redirected(this.#request, status, location)
    if (next instanceof Error) return this.#giveUp(next)
    const caller = this.#caller as FetchCaller
    this.#caller = undefined
    // The answer's end is usually right behind its head: waiting for it keeps the connection.
    queueMicrotask(() => {
      this.#leave()
      if (this.#aborted) return caller.reject(next.signal?.reason)
      // on behalf of whoever called, and not of whoever made the connection
      this.runInAsyncScope(() => new FetchExchange(caller, next).start())
    })
  }

  #giveUp(cause: Error): void {
    this.#fail(networkError(cause))
    queueMicrotask(() => this.#leave())
  }

  #leave(): void {
    this.#request.signal?.removeEventListener('abort', this)
    if (!this.#ended) this.#controller?.abort(new DOMException('The operation was aborted.', 'AbortError'))
  }

  #fail(error: unknown): void {
    this.#caller?.reject(error)
    this.#caller = undefined
  }
}

function networkError(cause: Error): TypeError {
  return new TypeError('fetch failed', { cause })
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}
