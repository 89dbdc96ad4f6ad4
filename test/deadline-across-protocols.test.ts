import assert from 'node:assert/strict'
import { test } from 'node:test'
import { currentContext, type MeshError } from '../src/index.ts'
import { callerOf, grpcService, httpService } from './support/meshed-services.ts'

const DEADLINE_MS = 200

test('a deadline set in a call by HTTP stops the work three hops below, by way of gRPC', async (t) => {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<Error>()
  const remaining: [hop: string, ms: number][] = []
  const last = await httpService(t, 'last', undefined, () => (request, response) => {
    if (request.mesh.deadline === Number.POSITIVE_INFINITY) return response.end('warm')
    remaining.push(['last', request.mesh.remainingMs])
    return request.mesh.signal.addEventListener('abort', () => stop(request.mesh.signal.reason))
  })
  const voting = await grpcService(t, 'voting', last, async ({ mesh }, call) => {
    if (currentContext()?.deadline !== Number.POSITIVE_INFINITY) remaining.push(['voting', +call.getDeadline() - Date.now()])
    return (await mesh.fetch('http://next/')).text()
  })
  const web = await httpService(
    t,
    'web',
    voting,
    ({ ask }) =>
      async (_, response) =>
        response.end((await ask()).server),
  )
  // with no deadline: what comes next finds every connection made
  assert.equal(await (await callerOf(t, 'curl', web).mesh.fetch('http://next/')).text(), 'warm')
  const browser = callerOf(t, 'browser', web, DEADLINE_MS).mesh

  // a machine that stands still may let the time pass before the call is there
  while (!remaining.some(([hop]) => hop === 'last')) {
    // web may see the time pass first, and say so
    const answer = await browser.fetch('http://next/').catch((error: Error) => error.cause as MeshError)
    assert.ok(answer instanceof Response ? answer.status === 500 : answer.code === 'INMESH_TIMEOUT')
  }

  assert.match((await stopped).name, /^(TimeoutError|AbortError)$/)
  for (const [hop, ms] of remaining) assert.ok(ms <= DEADLINE_MS, `${hop} has ${ms} ms left`)
})
