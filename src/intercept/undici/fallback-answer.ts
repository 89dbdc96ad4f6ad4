import type { FallbackAnswer } from '../../core/service-breaker.ts'
import { BREAKER_OPEN } from '../../core/verdict.ts'
import { http } from '../node-http.ts'
import type { Exchange } from './exchange.ts'

/** Answers a call in its service's place. */
export function answerInstead(exchange: Exchange, { status, headers, body }: FallbackAnswer): void {
  if (exchange.done) return
  const controller = { rawHeaders: { ...headers }, rawTrailers: null }
  try {
    exchange.answered(controller, status, { ...headers }, http.STATUS_CODES[status] ?? '')
    if (body !== undefined && !exchange.done && hasBody(exchange.method, status))
      exchange.handler.onResponseData?.(exchange, Buffer.from(body as string))
    if (!exchange.done) exchange.ended(controller, {}, BREAKER_OPEN, exchange.clock.now())
  } catch (error) {
    exchange.abort(error as Error)
  }
}

/** RFC 9110 sections 6.4.1 and 9.3.2. */
function hasBody(method: string, status: number): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304
}
