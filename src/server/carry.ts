import { currentContext, withContext } from '../core/request-context.ts'
import { type HttpInbound, type HttpRequest, RECEIVED } from './http-inbound.ts'
import { type HttpResponse, refuse } from './http-reception.ts'

const AWAITING = Symbol('inmesh.awaiting')

type Carried = HttpRequest & {
  readonly [RECEIVED]: HttpInbound
  emit: (this: Carried, event: string, ...args: unknown[]) => boolean
  [AWAITING]?: HttpResponse | undefined
}

/**
 * Lets a request's body arrive in its context. Node emits `data` and `end` in the context of the connection, not in that of the listener, so a handler that
 * reads its body by events would lose the context without this.
 *
 * @param awaiting the answer, where the handler runs only once the body is there: if the deadline has passed by then, and that is enforced, it is refused
 */
export function carry(request: HttpRequest, awaiting?: HttpResponse): void {
  if (!mayHaveBody(request)) return
  const carried = request as Carried
  carried.emit = emitInContext
  carried[AWAITING] = awaiting
}

function mayHaveBody({ method }: HttpRequest): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

function emitInContext(this: Carried, event: string, ...args: unknown[]): boolean {
  if (event === 'end' && this[AWAITING] !== undefined && isTooLate(this[RECEIVED], this[AWAITING])) return true
  const emit = Object.getPrototypeOf(this).emit as Carried['emit']
  if (currentContext() === this[RECEIVED]) return emit.call(this, event, ...args)
  return withContext(this[RECEIVED], () => emit.call(this, event, ...args))
}

function isTooLate(inbound: HttpInbound, response: HttpResponse): boolean {
  if (response.headersSent) return false
  inbound.reception.recheck(inbound)
  if (inbound.refusal === undefined) return false
  refuse(response, inbound.refusal)
  return true
}
