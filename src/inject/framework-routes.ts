import { subscribe } from 'node:diagnostics_channel'
import { http } from '../intercept/node-http.ts'
import { RouteWatch } from '../server/express.ts'
import { type HttpRequest, noteRoute } from '../server/http-inbound.ts'
import { warnOnce } from './warn-once.ts'

/** Lets frameworks tell the route of a request: Express and its router by what they set on it, Fastify by the channel on which it says that it begins. */
export function watchRoutes(): void {
  new RouteWatch().watchAll(http.IncomingMessage.prototype)
  subscribe('fastify.initialization', (message) => {
    try {
      ;(message as Begun).fastify.addHook('onRequest', noteFastifyRoute)
    } catch (error) {
      warnOnce('routes of Fastify are not known', error)
    }
  })
}

interface Begun {
  readonly fastify: { addHook(name: 'onRequest', hook: typeof noteFastifyRoute): unknown }
}

interface FastifyRequest {
  readonly raw: HttpRequest
  readonly routeOptions?: { readonly url?: string | undefined }
}

function noteFastifyRoute(request: FastifyRequest, _reply: unknown, done: () => void): void {
  noteRoute(request.raw, request.routeOptions?.url ?? '')
  done()
}
