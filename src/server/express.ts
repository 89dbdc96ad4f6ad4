import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Inbound } from '../core/inbound.ts'
import { carry } from './carry.ts'
import { type HttpInbound, type HttpRequest, noteRoute, RECEIVED, receivedBy } from './http-inbound.ts'
import { receive, refuse } from './http-reception.ts'
import { inContext } from './in-context.ts'
import type { ServingMesh } from './reception.ts'

declare global {
  namespace Express {
    interface Request {
      /** What the mesh knows of this request: peer, client address, deadline, attempt, signal. */
      readonly mesh: Inbound
    }
  }
}

export interface InmeshExpressOptions {
  readonly mesh: ServingMesh
}

/** As Express 4 and 5 call a middleware. */
export type ExpressMiddleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

/**
 * Middleware for Express 5 and 4: `app.use(inmeshExpress({ mesh }))`, before all others, since what comes earlier is neither measured nor bounded.
 *
 * Handlers find `request.mesh`, and every call that they make inherits deadline and cancellation. The route's template is where the router was mounted and the
 * route's own path: `/api/:id`. Where a mount path has parameters of its own, Express tells their values and not their names; after 100 different mount paths
 * the rest become `*`.
 */
export function inmeshExpress({ mesh }: InmeshExpressOptions): ExpressMiddleware {
  const { inbound: reception } = mesh
  const routes = new RouteWatch()

  return (request, response, next) => {
    routes.watch(request)
    if (receivedBy(reception, request as HttpRequest) !== undefined) {
      carry(request, response)
      return next()
    }
    const inbound = receive(reception, request, response)
    if (inbound.refusal !== undefined) return refuse(response, inbound.refusal)
    carry(request, response)
    inContext(inbound, request, next)
  }
}

/** More mount paths than this are made of parameters. */
const MAX_MOUNTS = 100

interface Route {
  readonly path: unknown
}

interface RoutedRequest extends IncomingMessage {
  readonly baseUrl?: string
  readonly [RECEIVED]?: HttpInbound
  [CURRENT]?: Route | undefined
}

const CURRENT = Symbol('inmesh.route')

/**
 * Notes the template at the moment the router takes a route. Later is too late: once a handler has thrown, Express has put `baseUrl` back, and it is
 * the failed requests whose route one wants to know. So `route` becomes an accessor of the application's request prototype, once an application.
 */
export class RouteWatch {
  readonly #watched = new WeakSet<object>()
  #last: object | undefined
  readonly #mounts = new Set<string>()

  watch(request: IncomingMessage): void {
    const prototype = Object.getPrototypeOf(request) as object
    if (prototype === this.#last) return
    this.#last = prototype
    this.watchAll(prototype)
  }

  /** All requests of a prototype, from now on. */
  watchAll(prototype: object): void {
    if (this.#watched.has(prototype)) return
    this.#watched.add(prototype)
    const note = (routed: RoutedRequest, route: Route | undefined): void => this.#note(routed, route)
    const own: PropertyDescriptor & ThisType<RoutedRequest> = {
      configurable: true,
      enumerable: true,
      get() {
        return this[CURRENT]
      },
      set(route: Route | undefined) {
        this[CURRENT] = route
        const { [RECEIVED]: inbound, baseUrl } = this
        // as good as every request: nothing mounted, one mesh
        if (inbound !== undefined && inbound.outer === undefined && baseUrl === '' && typeof route?.path === 'string')
          inbound.route = route.path
        else note(this, route)
      },
    }
    // a request that was given a route has it as its own, as without us
    Object.defineProperty(prototype, 'route', {
      configurable: true,
      get: () => undefined,
      set(this: object, route: Route | undefined) {
        Object.defineProperty(this, 'route', own)
        ;(this as { route: Route | undefined }).route = route
      },
    })
  }

  #note(request: RoutedRequest, route: Route | undefined): void {
    const path = templateOf(route)
    if (path === undefined) return
    const { baseUrl = '' } = request
    noteRoute(request as HttpRequest, baseUrl === '' ? path : `${this.#mount(baseUrl)}${path === '/' ? '' : path}`)
  }

  #mount(baseUrl: string): string {
    if (this.#mounts.has(baseUrl)) return baseUrl
    if (this.#mounts.size >= MAX_MOUNTS) return '/*'
    this.#mounts.add(baseUrl)
    return baseUrl
  }
}

/** Undefined for what others than Express may call a route. */
function templateOf(route: Route | null | undefined): string | undefined {
  const path = route?.path
  if (typeof path === 'string') return path
  return path instanceof RegExp || Array.isArray(path) ? String(path) : undefined
}
