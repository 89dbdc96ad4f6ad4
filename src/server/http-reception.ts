import type { ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import { LEAVING_HEADER, OVERLOADED_HEADER, RATE_LIMITED_HEADER } from '../core/context-headers.ts'
import type { InboundReason, Refusal, RefusalReason } from '../core/inbound.ts'
import { LOAD_REPORT_HEADER } from '../core/load-report.ts'
import { HttpInbound, type HttpRequest, RECEIVED } from './http-inbound.ts'
import type { Reception } from './reception.ts'

export type HttpResponse = ServerResponse | Http2ServerResponse

/**
 * Receives a request that came over HTTP and sees to its end. What follows is up to the caller: refuse it if `inbound.refusal` says so, else serve it
 * with its context. One object and two properties a request; the listener is shared by all.
 */
export function receive(reception: Reception, request: HttpRequest, response: HttpResponse): HttpInbound {
  const inbound = new HttpInbound(reception, request)
  request.mesh = inbound
  request[RECEIVED] = inbound
  if (inbound.outer === undefined) response.on('close', responseClosed)
  reception.begin(inbound)
  if (inbound.permits !== 0) (response as Told).writeHead = writeHeadAndTell
  if (reception.load !== undefined && !isStranger(inbound))
    report(reception, reception.load, inbound.startedAt, request, response)
  if (reception.state !== 'serving') announceLeaving(request, response)
  return inbound
}

/** How busy this process is concerns those who may call it. */
function isStranger({ refusal }: HttpInbound): boolean {
  return refusal !== undefined && refusal.reason === 'unauthorized'
}

/** What a refusal is in HTTP: a status and headers. */
export function refusalAnswer(refusal: Refusal): RefusalAnswer {
  const { status, headers } = ANSWERS[refusal.reason]
  if (refusal.retryAfterMs <= 0) return { status, headers, text: refusal.reason }
  return { status, headers: { ...headers, 'retry-after': String(Math.ceil(refusal.retryAfterMs / 1_000)) }, text: refusal.reason }
}

/** Refuses through the bare response. The connection stays: refusing must be cheap for both sides. */
export function refuse(response: HttpResponse, refusal: Refusal): void {
  const { status, headers, text } = refusalAnswer(refusal)
  response.statusCode = status
  for (const name of Object.keys(headers)) response.setHeader(name, headers[name] as string)
  response.end(text)
}

export interface RefusalAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

const PLAIN = { 'content-type': 'text/plain; charset=utf-8' }

/** 503 with `x-envoy-overloaded` and 429 with `x-envoy-ratelimited` were certainly not processed. */
const ANSWERS: Readonly<Record<RefusalReason, Omit<RefusalAnswer, 'text'>>> = {
  deadline_passed: { status: 504, headers: PLAIN },
  overloaded: { status: 503, headers: { ...PLAIN, [OVERLOADED_HEADER]: 'true' } },
  rate_limited: { status: 429, headers: { ...PLAIN, [RATE_LIMITED_HEADER]: 'true' } },
  draining: { status: 503, headers: { ...PLAIN, [OVERLOADED_HEADER]: 'true' } },
  unauthorized: { status: 403, headers: PLAIN },
}

const REPORTED = Symbol('inmesh.reported')

// === the end

function responseClosed(this: HttpResponse): void {
  let inbound = (this.req as HttpRequest | undefined)?.[RECEIVED]
  if (inbound === undefined) return
  const reason = reasonOf(this)
  for (; inbound !== undefined; inbound = inbound.outer) inbound.reception.end(inbound, this.statusCode, reason)
}

function reasonOf(response: HttpResponse): InboundReason {
  if (isHttp2(response)) return reasonOfStream(response)
  // Node 22 says so of an answer whose connection went away, too: then some of it was never written
  const socket = response.req.socket as Socket | null
  if (response.writableFinished && !(socket?.destroyed && !socket.writableFinished)) return byStatus(response.statusCode)
  // destroyed with an error by its handler; undefined when without
  const destroyed = response.errored !== null && response.errored !== undefined
  return !destroyed && hungUp(socket) ? 'cancelled' : 'broken_off'
}

export function isHttp2(response: HttpResponse): response is Http2ServerResponse {
  return response.req?.httpVersionMajor === 2
}

/** The other side ended the connection or it broke; not so when this process destroyed it. */
function hungUp(socket: Socket | null): boolean {
  return socket === null || socket.readableEnded || socket.errored !== null
}

const NO_ERROR = 0
const INTERNAL_ERROR = 2

function reasonOfStream({ stream, statusCode, writableEnded }: Http2ServerResponse): InboundReason {
  const code = stream?.rstCode ?? NO_ERROR
  if (code === NO_ERROR && writableEnded) return byStatus(statusCode)
  return code === NO_ERROR || code === INTERNAL_ERROR ? 'broken_off' : 'cancelled'
}

function byStatus(status: number): InboundReason {
  return status >= 500 ? 'error_status' : 'ok'
}

// === the head

type Told = { writeHead: (this: Told, ...args: unknown[]) => unknown }

/** Stands before the response's own `writeHead`, which every answer passes through, until it is called. */
function writeHeadAndTell(this: Told, ...args: unknown[]): unknown {
  const response = this as unknown as HttpResponse
  delete (this as Partial<Told>).writeHead
  const written = this.writeHead(...args)
  let inbound = (response.req as HttpRequest | undefined)?.[RECEIVED]
  for (; inbound !== undefined; inbound = inbound.outer) inbound.reception.answered(inbound, byStatus(response.statusCode))
  return written
}

/** Each connection is told each report once, so that reporting costs next to nothing under load. */
function report(
  reception: Reception,
  load: NonNullable<Reception['load']>,
  now: number,
  request: HttpRequest,
  response: HttpResponse,
): void {
  load.refresh(now, reception.inFlight)
  const connection = connectionOf(request)
  if (!connection || connection[REPORTED] === load.serial) return
  connection[REPORTED] = load.serial
  response.setHeader(LOAD_REPORT_HEADER, load.text)
}

/** Nothing for a request that came by none, as tests and adapters make them. */
function connectionOf(request: HttpRequest): { [REPORTED]?: number } | null | undefined {
  return (request.httpVersionMajor === 2 ? (request as Http2ServerRequest).stream.session : request.socket) as
    | object
    | null
    | undefined
}

/** Over HTTP/2 the drain itself sends GOAWAY. */
function announceLeaving(request: HttpRequest, response: HttpResponse): void {
  response.setHeader(LEAVING_HEADER, 'true')
  if (request.httpVersionMajor < 2) response.setHeader('connection', 'close')
}
