import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { secureServer } from '../../src/server/secure-server.ts'
import { cleanup } from '../support/servers.ts'
import { settle } from '../support/virtual-time.ts'
import { listenOn, type SecurityTrial, trialSecurity, until } from './trial-security.ts'

/** Ten thousand, or what this machine lets one process open, less what the process needs for itself. */
const CROWD = Math.min(10_000, openFiles() - 500)
/** Of heap and buffers, for all of them, in bytes: some 12 KB each. */
const MAX_MEMORY = 300_000_000

test('ten thousand who begin a handshake and stop are ended in time, and keep nobody out', async (t) => {
  const trial = trialSecurity(t)
  const server = http.createServer({ keepAliveTimeout: 0 }, (_, response) => response.end('well'))
  secureServer(trial.security, server)
  const port = await listenOn(t, server)
  const kept = new https.Agent({ keepAlive: true })
  cleanup(t, () => kept.destroy())
  const asKept = () => answerOf(https.get({ port, host: '127.0.0.1', servername: '', agent: kept, ...trial.caller }))
  await asKept()
  const memory = memoryInUse()

  const crowd = crowdAt(t, port)
  while ((await told(crowd)).begun !== CROWD) crowd.send('on')
  await until(() => trial.clock.pending > CROWD)

  assert.equal(await asKept(), 'well')
  assert.equal(await answerOf(http.get({ port, host: '127.0.0.1', agent: false })), 'well')
  const fresh = answerOf(https.get({ port, host: '127.0.0.1', servername: '', agent: false, ...trial.caller }))
  assert.equal(await within(trial, 3_000, fresh), 'well')
  assert.ok(memoryInUse() - memory < MAX_MEMORY)

  const ended = told(crowd)
  trial.clock.advance(10_000)
  assert.deepEqual(await ended, { ended: CROWD })
  assert.equal(trial.seen.filter((text) => text.startsWith('server timeout ')).length, CROWD)
})

/** Lets time pass, slowly beside what the event loop does, until somebody has an answer. */
async function within<T>({ clock }: SecurityTrial, ms: number, answer: Promise<T>): Promise<T | 'late'> {
  let over = false
  void answer.then(() => (over = true))
  for (let passed = 0; passed < ms && !over; passed += 100) {
    clock.advance(100)
    for (let turn = 0; turn < 100 && !over; turn++) await settle()
  }
  return over ? answer : 'late'
}

function crowdAt(t: TestContext, port: number): ChildProcess {
  const path = fileURLToPath(new URL('./support/handshake-crowd.ts', import.meta.url))
  const crowd = fork(path, [String(port), String(CROWD)])
  cleanup(t, async () => {
    if (crowd.exitCode !== null || crowd.signalCode !== null) return
    crowd.kill('SIGKILL')
    await once(crowd, 'exit')
  })
  return crowd
}

async function told(crowd: ChildProcess): Promise<{ begun?: number; ended?: number }> {
  const [message] = await once(crowd, 'message')
  return message
}

async function answerOf(request: http.ClientRequest): Promise<string> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return String(Buffer.concat(chunks))
}

function memoryInUse(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function openFiles(): number {
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { hard: number | 'unlimited' } } }
  const hard = userLimits?.open_files?.hard
  return typeof hard === 'number' ? hard : Number.POSITIVE_INFINITY
}
