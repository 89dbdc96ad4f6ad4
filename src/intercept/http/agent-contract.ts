import type { Agent, AgentOptions, ClientRequest, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Exchange } from './exchange.ts'

/**
 * What Node's `ClientRequest` and `Agent` say to each other. Node's types leave it out; every agent of the ecosystem is built on it, and
 * it is the same in Node 22, 24 and 26.
 */
export interface RequestAgent extends Omit<Agent, 'createConnection'> {
  readonly options: AgentOptions
  /** Finds or makes a socket for the request. The options are a copy of the application's, made by the request. */
  addRequest(request: ClientRequest, options: RequestOptions): void
  /** Either returns the socket, or hands it over later. Handing over none leaves no trace in the agent. */
  createConnection(options: RequestOptions, created: (error: Error | null, socket?: Duplex) => void): Duplex | undefined
}

/** The part that we read or change. */
export interface RequestOptions {
  host?: string | null
  port?: number | string | null
  servername?: string
  socketPath?: string
}

/** A request with its exchange attached. */
export interface MeshedRequest extends ClientRequest {
  /** The answer's head, also of one that was an upgrade. */
  readonly res?: IncomingMessage | null
  /** Gives the request its socket; without one it fails with the error, or as destroyed. */
  onSocket(socket: Duplex | null, error?: Error): void
  [EXCHANGE]?: Exchange
}

export const EXCHANGE: unique symbol = Symbol('inmesh.exchange')
