import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { catalogue, voteMethod } from '../../examples/emojivoto/catalogue.ts'
import type { Rows } from '../../examples/emojivoto/rows.ts'
import { VotingService } from '../../examples/emojivoto/services.ts'
import { tableOf } from '../../examples/emojivoto/table.ts'
import { type Trace, traceAcross } from '../../examples/emojivoto/trace.ts'

const ROOT = join(import.meta.dirname, '../..')

async function demo(...options: string[]): Promise<{ code: number | null; stdout: string; stderr: string; pid: number }> {
  const child = spawn(process.execPath, ['examples/emojivoto/demo.ts', ...options], { cwd: ROOT, detached: true })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code, stdout, stderr, pid: child.pid as number }
}

test('emojivoto runs, prints one JSON document and leaves nothing running', async () => {
  const { code, stdout, stderr, pid } = await demo('--seconds', '8', '--json')

  assert.equal(stderr, '')
  assert.equal(code, 0)
  assert.throws(() => process.kill(-pid, 0), { code: 'ESRCH' })
  const { services, edges, trace } = JSON.parse(stdout) as Rows & { readonly trace: Trace }
  const success = Object.fromEntries(services.map((service) => [service.name, service.success]))
  assert.equal(success.emoji, 1)
  assert.equal(success['vote-bot'], null)
  // the doughnut fails, and nothing else does, although a replica was killed
  assert.ok((success.voting ?? 0) > 0.5 && (success.voting ?? 1) < 1)
  assert.deepEqual(edges.map(({ from, to }) => `${from} -> ${to}`).sort(), ['vote-bot -> web', 'web -> emoji', 'web -> voting'])
  for (const { rps, p50Ms, p99Ms } of edges) assert.ok(rps > 0 && (p50Ms ?? 0) > 0 && (p99Ms ?? 0) >= (p50Ms ?? 0))
  // with nothing configured, everybody proves who it is to whom it calls
  const identity = (name: string) => `spiffe://inmesh.local/ns/default/sa/${name}`
  for (const { from, to, secured, clientIdentity, serverIdentity } of edges)
    assert.deepEqual([secured, clientIdentity, serverIdentity], [true, identity(from), identity(to)])
  assert.match(trace.id, /^[0-9a-f]{32}$/)
  assert.deepEqual([...new Set(trace.hops.map(({ service }) => service))].sort(), ['emoji', 'voting', 'web'])
  // the bot gave web 5 s, and the others know what is left of it
  for (const { remainingMs } of trace.hops) assert.ok(remainingMs > 0 && remainingMs <= 5_000)
})

test('there is a method to vote for each emoji, named as in the original', () => {
  const methods = Object.keys(VotingService.service)

  assert.equal(voteMethod(':stuck_out_tongue_winking_eye:'), 'VoteStuckOutTongueWinkingEye')
  assert.equal(voteMethod(':100:'), 'Vote100')
  assert.deepEqual(methods, [...catalogue.map(({ shortcode }) => voteMethod(shortcode)), 'Results'])
})

test('the demo shows the latest trace that every service has seen, in order of time', () => {
  const sighting = (service: string, traceId: string, at: number) => ({ service, path: '/', traceId, remainingMs: 1, at })
  const seen = [
    sighting('voting', 'b', 5),
    sighting('web', 'a', 1),
    sighting('voting', 'a', 2),
    sighting('web', 'b', 4),
    sighting('web', 'c', 6),
  ]

  const trace = traceAcross(['web', 'voting'], seen)

  assert.equal(trace?.id, 'b')
  assert.deepEqual(
    trace?.hops.map(({ service }) => service),
    ['web', 'voting'],
  )
  assert.equal(traceAcross(['web', 'voting', 'emoji'], seen), undefined)
})

test('the table shows of each edge whether it is secured, and who is at either end', () => {
  const traffic = { success: 1, rps: 2, p50Ms: 1, p95Ms: 1, p99Ms: 1, calls: 2, retries: 0, endpointsReady: 1, endpointsTotal: 1 }
  const edge = (to: string, secured: boolean | null, serverIdentity: string | null) => {
    return { from: 'web', to, secured, clientIdentity: 'spiffe://a.example/web', serverIdentity, ...traffic }
  }
  const edges = [
    edge('voting', true, 'spiffe://inmesh.local/ns/default/sa/voting'),
    edge('old', false, null),
    edge('new', null, null),
  ]

  const lines = tableOf({ services: [], edges }).split('\n').slice(2, -1)

  assert.deepEqual(
    lines.map((line) => line.split(/ {3,}/).slice(0, 5).join(' ')),
    [
      'SRC DST SRC_ID DST_ID SECURED',
      'web voting spiffe://a.example/web voting.default √',
      'web old spiffe://a.example/web - ×',
      'web new spiffe://a.example/web - -',
    ],
  )
})

test('the demo says what is wrong with its options', async () => {
  const { code, stderr } = await demo('--seconds', 'soon')

  assert.equal(code, 2)
  assert.match(stderr, /^demo: --seconds: expected a number from 0 to 86400, got soon\nusage: /)
})
