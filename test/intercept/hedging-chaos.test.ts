import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { request } from 'undici'
import { p2c } from '../../src/balancer/p2c.ts'
import { hedge } from '../../src/resilience/hedge.ts'
import { retry } from '../../src/resilience/retry.ts'
import { retryBudget } from '../../src/resilience/retry-budget.ts'
import { type EngineOptions, engine } from '../support/engine.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc } from '../support/grpc-servers.ts'
import type { Answer, Question, TrialHandlers } from '../support/grpc-trial.ts'
import { serve, serveH2c } from '../support/servers.ts'
import { seeded, VirtualClock } from '../support/virtual-time.ts'

const CALLS = 120
const BODY = 'a body that is read to its end'
/** The code of an AbortError. */
const ABORTED = '20'

const HEDGED = {
  hedge: hedge({ delayMs: 20, attempts: 3 }),
  retry: retry({ attempts: 4, backoff: () => () => 0 }),
  budget: retryBudget({ percent: 2, minPerSecond: 5 }),
  balancer: p2c(),
  perTryTimeoutMs: 150,
  timeoutMs: 400,
} satisfies Partial<EngineOptions>

/** Lets virtual time pass until all of it is over, a millisecond every other turn of the loop. */
async function runOut(clock: VirtualClock, all: Promise<unknown>): Promise<void> {
  let over = false
  void all.then(() => (over = true))
  while (!over) {
    await new Promise<void>((resolve) => setImmediate(resolve))
    clock.advance(1)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
}

for (const protocol of ['http', 'h2c'] as const) {
  test(`over ${protocol}, whatever servers do and callers give up, each call ends once and nothing is left over`, async (t: TestContext) => {
    const random = seeded(protocol === 'http' ? 11 : 12)
    const clock = new VirtualClock()
    const torn: string[] = []
    const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
      const chance = random()
      void text(incoming).then(
        (body) => body === BODY || torn.push(body),
        () => {},
      )
      const ms = Math.floor(random() * 80)
      clock.after(ms, () => {
        if (chance < 0.4) response.end('answer')
        else if (chance < 0.6) response.writeHead(503).end('not now')
        else if (chance < 0.7) response.writeHead(500).end('no')
        else if (chance < 0.8) response.destroy()
        else if (chance < 0.85) response.writeHead(200).write('begun', () => response.destroy())
      })
    }
    const make = () => (protocol === 'http' ? serve(t, listener) : serveH2c(t, listener as never))
    const servers = [await make(), await make(), await make()]
    const { dispatcher, watch } = engine(t, { addresses: servers, clock, protocol, ...HEDGED })
    const answers: string[] = []

    const call = async (i: number): Promise<void> => {
      const abort = new AbortController()
      if (random() < 0.2) clock.after(Math.floor(random() * 60), () => abort.abort())
      const body = i % 2 === 0 ? BODY : Readable.from([BODY.slice(0, 7), BODY.slice(7)])
      try {
        const got = await request('http://voting/', { dispatcher, method: 'PUT', body, signal: abort.signal })
        answers.push(`${got.statusCode} ${await got.body.text()}`)
      } catch (error) {
        answers.push(String((error as { code?: unknown }).code ?? error))
      }
    }
    await runOut(clock, Promise.all(Array.from({ length: CALLS }, (_, i) => call(i))))

    assert.equal(answers.length, CALLS)
    assert.equal(watch.calls.length, CALLS)
    assert.deepEqual(torn, [])
    assert.ok(watch.calls.some(({ attempts }) => attempts.some(({ reason }) => reason === 'cancelled')))
    assert.ok(watch.calls.every(({ attempts }) => attempts.length <= 5))
    const kinds = new Set(answers.map((got) => got.split(' ')[0]))
    for (const kind of ['200', '500', ABORTED]) assert.ok(kinds.has(kind), [...kinds].join())
  })
}

test('over gRPC, whatever servers do and callers give up, each call ends once and nothing is left over', async (t) => {
  const random = seeded(13)
  const clock = new VirtualClock()
  const read = ((call, callback) => {
    const chance = random()
    clock.after(Math.floor(random() * 80), () => {
      if (chance < 0.4) callback(null, { server: call.request.body?.toString() ?? '' })
      else if (chance < 0.6) callback({ code: grpc.status.UNAVAILABLE, details: 'not now' })
      else if (chance < 0.7) callback({ code: grpc.status.INTERNAL, details: 'no' })
      else if (chance < 0.8) call.sendMetadata(new grpc.Metadata())
    })
  }) as grpc.handleUnaryCall<Question, Partial<Answer>>
  const handlers = { read } as TrialHandlers
  const servers = await Promise.all([1, 2, 3].map(() => serveGrpc(t, { handlers })))
  const { client, watch } = grpcEngine(t, { addresses: servers, clock, ...HEDGED })
  const stub = client({ mesh: { idempotent: ['/inmesh.trial.Trial/Read'] } })
  const answers: string[] = []

  const call = async (): Promise<void> => {
    try {
      const got = await answer<Answer>((done) => {
        const sent = stub.read({ body: Buffer.from(BODY) }, { deadline: Date.now() + 2_000 }, done)
        if (random() < 0.2) clock.after(Math.floor(random() * 60), () => sent.cancel())
      })
      assert.equal(got.server, BODY)
      answers.push('OK')
    } catch (error) {
      answers.push(grpc.status[(error as grpc.ServiceError).code] ?? String(error))
    }
  }
  await runOut(clock, Promise.all(Array.from({ length: CALLS }, call)))

  assert.equal(answers.length, CALLS)
  assert.equal(watch.calls.length, CALLS)
  assert.ok(watch.calls.every(({ attempts }) => attempts.length <= 5))
  assert.ok(watch.calls.some(({ attempts }) => attempts.some(({ reason }) => reason === 'cancelled')))
  for (const kind of ['OK', 'INTERNAL', 'CANCELLED']) assert.ok(answers.includes(kind), [...new Set(answers)].join())
})
