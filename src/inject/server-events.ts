import { Server } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { withContext } from '../core/request-context.ts'
import { http, https } from '../intercept/node-http.ts'
import { carry } from '../server/carry.ts'
import { type HttpInbound, type HttpRequest, RECEIVED } from '../server/http-inbound.ts'
import { type HttpResponse, receive, refuse } from '../server/http-reception.ts'
import type { Reception } from '../server/reception.ts'
import { warnOnce } from './warn-once.ts'

/** Who hears of the servers that begin to listen, and of those that closed. */
export interface ServerListener {
  listening(server: Server): void
  closed(server: Server): void
}

type Emit = (this: Server, ...event: unknown[]) => boolean

/**
 * Stands before the events of every server of this process: node:http, node:https and node:http2 are all born of `net.Server` and emit each request once,
 * as `request`. Whatever else they emit (upgrades, CONNECT, `checkContinue`, errors) passes by. Nothing is loaded for it, and a server that was made
 * earlier is no exception.
 *
 * An application's listeners are called as Node calls them: what they throw or reject with goes where it always went.
 */
export function watchServers(reception: Reception, listener: ServerListener): void {
  standBefore(Server.prototype, reception, listener)
  // whoever stands before the events of one kind of server already does not ask net.Server any more
  for (const { prototype } of [TlsServer, http.Server, https.Server]) {
    if (Object.hasOwn(prototype, 'emit')) standBefore(prototype, reception, listener)
  }
}

function standBefore(prototype: Server, reception: Reception, listener: ServerListener): void {
  const next = prototype.emit as unknown as Emit
  const emit: Emit = function emit(...event) {
    switch (event[0]) {
      case 'request':
        return event.length === 3 ? received(reception, this, next, event[1], event[2]) : next.apply(this, event)
      case 'listening':
        tell(() => listener.listening(this))
        break
      case 'close':
        tell(() => listener.closed(this))
    }
    return next.apply(this, event)
  }
  Object.defineProperty(prototype, 'emit', { value: emit, writable: true, configurable: true, enumerable: false })
}

function tell(fn: () => void): void {
  try {
    fn()
  } catch (error) {
    warnOnce('servers are not announced or drained', error)
  }
}

function received(reception: Reception, server: Server, next: Emit, request: unknown, response: unknown): boolean {
  const inbound = inboundOf(reception, request as HttpRequest, response as HttpResponse)
  if (inbound === undefined) return next.call(server, 'request', request, response)
  if (inbound.refusal !== undefined) {
    refuse(response as HttpResponse, inbound.refusal)
    return true
  }
  // whoever stands before us goes on outside of the request's context, as it began
  return withContext(inbound, () => next.call(server, 'request', request, response))
}

/** Undefined for what was received before, is no request of Node's, or fails. */
function inboundOf(reception: Reception, request: HttpRequest, response: HttpResponse): HttpInbound | undefined {
  try {
    if (request[RECEIVED] !== undefined || typeof response.setHeader !== 'function') return undefined
    const inbound = receive(reception, request, response)
    if (inbound.refusal === undefined) carry(request)
    return inbound
  } catch (error) {
    warnOnce('requests are not received by the mesh', error)
    return undefined
  }
}
