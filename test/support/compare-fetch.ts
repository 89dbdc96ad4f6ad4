import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from 'undici'
import { createFetch } from '../../src/intercept/undici/fetch.ts'
import { cleanup, serve, serveRaw, type TestServer } from './servers.ts'

/** What a behaviour is tried on: one of the two fetches, and a server of its own. */
export interface Site {
  readonly fetch: typeof fetch
  readonly origin: string
  readonly server: TestServer
  /** What the server answers from now on; `echo` at first. */
  answer: RequestListener
}

/** The undici that Node's own fetch is of: 6 in Node 22, 7 in Node 24. */
const NODES_UNDICI = Number.parseInt(process.versions.undici ?? '0', 10)

/**
 * Tries a behaviour with Node's own fetch and with ours, each on a fresh server, and asserts that what is observed is the same.
 *
 * @param since the undici in which Node's fetch came to behave so; with an older one, ours alone is tried
 * @returns what was observed, with the server's address written `SITE`
 */
export function same(t: TestContext, behaviour: (site: Site) => Promise<unknown>, since = 0): Promise<unknown> {
  const start = (site: () => Site) => serve(t, (request, response) => site().answer(request, response))
  return NODES_UNDICI < since ? observe(t, behaviour, start, createFetch) : compare(t, behaviour, start)
}

/** As `same`, with a server that writes what it likes. */
export function sameRaw(
  t: TestContext,
  onSocket: (socket: Socket) => void,
  behaviour: (site: Site) => Promise<unknown>,
): Promise<unknown> {
  return compare(t, behaviour, () => serveRaw(t, onSocket))
}

async function compare(
  t: TestContext,
  behaviour: (site: Site) => Promise<unknown>,
  start: (site: () => Site) => Promise<TestServer>,
): Promise<unknown> {
  const nodes = await observe(t, behaviour, start, () => fetch)
  const ours = await observe(t, behaviour, start, createFetch)

  assert.deepEqual(ours, nodes, 'ours is not as Node’s')
  return nodes
}

async function observe(
  t: TestContext,
  behaviour: (site: Site) => Promise<unknown>,
  start: (site: () => Site) => Promise<TestServer>,
  make: (agent: Agent) => typeof fetch,
): Promise<unknown> {
  const server = await start(() => site)
  const agent = new Agent()
  cleanup(t, () => agent.destroy())
  const before = getGlobalDispatcher()
  setGlobalDispatcher(agent)
  const site: Site = { fetch: make(agent), origin: server.origin, server, answer: echo }
  try {
    const seen = await behaviour(site)
    return withoutPort(seen, server.port)
  } finally {
    setGlobalDispatcher(before)
    await agent.destroy()
    await server.close()
  }
}

/** Answers with what it was asked: method, URL, headers in their order and spelling, body. */
export function echo(request: IncomingMessage, response: ServerResponse): void {
  readBody(request).then((body) => {
    const { method, url, rawHeaders } = request
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method, url, rawHeaders, body }))
  }, ignore)
}

/** The client has left; there is nobody to tell. */
function ignore(): void {}

export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** All that a caller can see of a response, its text included. */
export async function described(response: Response): Promise<unknown> {
  const { status, statusText, ok, url, redirected, type, bodyUsed } = response
  const headers = [...response.headers].filter(([name]) => name !== 'date')
  const text = await response.text().catch(failure)
  return { status, statusText, ok, url, redirected, type, bodyUsed, headers, text, bodyUsedAfter: response.bodyUsed }
}

/** All that a caller can see of an error. */
export function failure(error: unknown): unknown {
  if (!(error instanceof Error)) return { thrown: error }
  const { name, message, cause } = error
  const code = (error as NodeJS.ErrnoException).code
  return {
    error: Object.prototype.toString.call(error),
    type: error.constructor.name,
    name,
    message,
    code,
    cause: cause && failure(cause),
  }
}

/** What a promise rejects with. */
export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then((value) => assert.fail(`expected a rejection, got ${value}`), failure)
}

function withoutPort(value: unknown, port: number): unknown {
  if (typeof value === 'string') return value.replaceAll(`127.0.0.1:${port}`, 'SITE').replaceAll(`localhost:${port}`, 'OTHER')
  if (Array.isArray(value)) return value.map((one) => withoutPort(one, port))
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withoutPort(one, port)]))
}
