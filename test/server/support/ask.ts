import type { IncomingHttpHeaders } from 'node:http'
import type { TestContext } from 'node:test'
import { Agent, type Dispatcher } from 'undici'
import { cleanup } from '../../support/servers.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

type Options = Partial<Pick<Dispatcher.RequestOptions, 'method' | 'body'>> & {
  readonly headers?: Readonly<Record<string, string>>
}

/** Asks a server and reads the whole answer, over connections that are closed with the test. To be called once the server is there. */
export async function ask(t: TestContext, url: string, options: Options = {}): Promise<Answer> {
  const { origin, pathname, search } = new URL(url)
  const { method = 'GET', ...rest } = options
  const answer = await agentOf(t).request({ origin, path: pathname + search, method, ...rest })
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
}

const agents = new WeakMap<TestContext, Agent>()

function agentOf(t: TestContext): Agent {
  const known = agents.get(t)
  if (known !== undefined) return known
  const agent = new Agent({ connect: { rejectUnauthorized: false } })
  agents.set(t, agent)
  cleanup(t, () => agent.destroy())
  return agent
}
