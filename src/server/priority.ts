import type { Inbound, Priority } from '../core/inbound.ts'

/** What the caller says its request is worth: `critical`, `default` or `sheddable`. An edge that serves strangers should strip it. */
const PRIORITY_HEADER = 'x-inmesh-priority'

/**
 * Health checks are exempt, so that a process under load is not taken for a dead one; else the header `x-inmesh-priority`, and `default` when it is
 * absent or says anything else. (Not RFC 9218's `priority`: browsers send that, and it is about the order of answers.)
 */
export function priorityOf(inbound: Inbound): Priority {
  if (isHealthCheck(inbound.path)) return 'exempt'
  const said = inbound.header(PRIORITY_HEADER)
  return said === 'critical' || said === 'sheddable' ? said : 'default'
}

/** The paths that Kubernetes' and gRPC's health checks go by convention. */
const HEALTH_PATHS: ReadonlySet<string> = new Set([
  '/live',
  '/livez',
  '/ready',
  '/readyz',
  '/health',
  '/healthz',
  '/grpc.health.v1.Health/Check',
  '/grpc.health.v1.Health/Watch',
])

export function isHealthCheck(path: string): boolean {
  const query = path.indexOf('?')
  return HEALTH_PATHS.has(query < 0 ? path : path.slice(0, query))
}
