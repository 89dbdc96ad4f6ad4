import { errorMonitor } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { EXCHANGE, type MeshedRequest } from './agent-contract.ts'
import type { Exchange } from './exchange.ts'

/**
 * Tells an exchange what its request goes through, and changes nothing for the application: its own listeners alone decide what becomes of
 * an error, an answer, an upgrade.
 */
export function watchRequest(request: MeshedRequest, exchange: Exchange): void {
  request[EXCHANGE] = exchange
  // One function each for all requests.
  request.prependListener('response', onResponse)
  request.on(errorMonitor, onError)
  request.on('close', onClose)
}

function onResponse(this: MeshedRequest, response: IncomingMessage): void {
  this[EXCHANGE]?.answered(response)
  // Without us nobody would listen, and Node would have thrown the body away.
  if (this.listenerCount('response') === 1) response.resume()
}

function onError(this: MeshedRequest, error: Error): void {
  this[EXCHANGE]?.failed(error)
}

function onClose(this: MeshedRequest): void {
  this[EXCHANGE]?.closed()
}
