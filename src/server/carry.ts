import { currentContext, withContext } from '../core/request-context.ts'
import type { HttpInbound, HttpRequest } from './http-inbound.ts'

type Carried = HttpRequest & { mesh: HttpInbound; emit: (this: Carried, event: string, ...args: unknown[]) => boolean }

/**
 * Lets a request's body arrive in its context. Node emits `data` and `end` in the context of the connection, not in that of the listener, so a handler that
 * reads its body by events would lose the context without this.
 */
export function carry(request: HttpRequest): void {
  if (mayHaveBody(request)) (request as Carried).emit = emitInContext
}

function mayHaveBody({ method }: HttpRequest): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

function emitInContext(this: Carried, event: string, ...args: unknown[]): boolean {
  const emit = Object.getPrototypeOf(this).emit as Carried['emit']
  if (currentContext() === this.mesh) return emit.call(this, event, ...args)
  return withContext(this.mesh, () => emit.call(this, event, ...args))
}
