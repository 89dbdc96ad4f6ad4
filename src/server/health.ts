import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServingMesh } from './reception.ts'

/** A handler of node:http, Express (`app.get('/ready', readiness(mesh))`) and, on the raw request and response, of Fastify. */
export type HealthHandler = (request: IncomingMessage, response: ServerResponse) => void

/** Answers 200 while new requests are welcome, 503 from the moment the process drains. */
export function readiness({ inbound }: ServingMesh): HealthHandler {
  return (_request, response) => answer(response, inbound.ready ? 200 : 503, inbound.ready ? 'ready' : inbound.state)
}

/** Answers 200 as long as this process can answer at all, also while it drains: what is about to end by itself need not be killed. */
export function liveness(): HealthHandler {
  return (_request, response) => answer(response, 200, 'live')
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.setHeader('cache-control', 'no-store')
  response.end(text)
}
