import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import type { Inbound } from '../core/inbound.ts'
import { carry } from './carry.ts'
import { type HttpRequest, receivedBy } from './http-inbound.ts'
import { receive, refusalAnswer } from './http-reception.ts'
import { inContext } from './in-context.ts'
import type { ServingMesh } from './reception.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the mesh knows of this request: peer, client address, deadline, attempt, signal. */
    mesh: Inbound
  }
}

export interface InmeshFastifyOptions {
  readonly mesh: ServingMesh
}

/**
 * Plugin for Fastify 5: `app.register(inmeshFastify, { mesh })`. It is not encapsulated, as with `fastify-plugin`: what it does holds for the instance that it
 * is registered in, and for all that is registered there afterwards.
 *
 * Handlers and hooks find `request.mesh`, and every call that they make inherits deadline and cancellation. Register it before other plugins: what their
 * `onRequest` hooks do earlier is neither measured nor bounded.
 */
export const inmeshFastify: FastifyPluginCallback<InmeshFastifyOptions> = Object.assign(plugin, {
  // what fastify-plugin would set; by hand, so that nothing more is to be installed
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'inmesh',
  [Symbol.for('plugin-meta')]: { name: 'inmesh', fastify: '5.x' },
})

function plugin(app: FastifyInstance, { mesh }: InmeshFastifyOptions, done: () => void): void {
  const { inbound: reception } = mesh

  app.decorateRequest('mesh', null as unknown as Inbound)

  app.addHook('onRequest', function inmeshOnRequest(request, reply, next) {
    const known = receivedBy(reception, request.raw as HttpRequest)
    const inbound = known ?? receive(reception, request.raw, reply.raw)
    inbound.route = request.routeOptions.url ?? ''
    request.mesh = inbound
    if (known === undefined && inbound.refusal !== undefined) return refuse(reply, inbound)
    carry(request.raw, reply.raw)
    if (known !== undefined) return next()
    inContext(inbound, request.raw, next)
  })

  done()
}

function refuse(reply: FastifyReply, { refusal }: FastifyRequest['mesh']): void {
  if (refusal === undefined) return
  const { status, headers, text } = refusalAnswer(refusal)
  reply.code(status).headers(headers).send(text)
}
