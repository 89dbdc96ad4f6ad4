import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { withContext } from '../../src/core/request-context.ts'
import { hedge } from '../../src/resilience/hedge.ts'
import { emptyBudget } from '../../src/resilience/retry-budget.ts'
import { type EngineOptions, until } from '../support/engine.ts'
import { requestContext } from '../support/grpc-context.ts'
import { answer, type GrpcEngine, grpcEngine } from '../support/grpc-engine.ts'
import { type GrpcServer, serveGrpc } from '../support/grpc-servers.ts'
import type { Answer, Question, TrialClient, TrialHandlers } from '../support/grpc-trial.ts'
import { settle, VirtualClock } from '../support/virtual-time.ts'

type Held = grpc.ServerUnaryCall<Question, Answer> & { readonly callback: grpc.sendUnaryData<Answer> }
type Stream = grpc.ServerWritableStream<{ bytes: number[] }, Answer>

/** A server that holds its answers until it is told. */
interface Holder extends GrpcServer {
  readonly held: Held[]
  readonly streams: Stream[]
  cancelled: number
  answer(): void
  refuse(code: grpc.status, pushback?: string): void
}

async function holder(t: TestContext, name: string): Promise<Holder> {
  const held: Held[] = []
  const streams: Stream[] = []
  const gone = (): void => void holding.cancelled++
  const unary = (call: Held, callback: grpc.sendUnaryData<Answer>): void => {
    held.push(Object.assign(call, { callback }))
    call.on('cancelled', gone)
  }
  const spread = (call: Stream): void => {
    streams.push(call)
    call.on('cancelled', gone)
  }
  const holding: Holder = {
    ...(await serveGrpc(t, { name, handlers: { read: unary, ask: unary, spread } as unknown as TrialHandlers })),
    held,
    streams,
    cancelled: 0,
    answer: () => held.at(-1)?.callback(null, { body: Buffer.alloc(0), server: name }),
    refuse(code, pushback) {
      const metadata = new grpc.Metadata()
      if (pushback !== undefined) metadata.set('grpc-retry-pushback-ms', pushback)
      held.at(-1)?.callback({ code, details: `${name} will not`, metadata })
    },
  }
  return holding
}

interface Trial extends GrpcEngine {
  readonly clock: VirtualClock
  readonly a: Holder
  readonly b: Holder
  readonly stub: TrialClient
}

/** Two servers that hold their answers, hedged after 50 ms of a clock that stands still; `Read` and `Spread` may be sent twice. */
async function trial(t: TestContext, options: Partial<EngineOptions> = {}): Promise<Trial> {
  const [a, b] = [await holder(t, 'a'), await holder(t, 'b')]
  const clock = new VirtualClock()
  const made = grpcEngine(t, { addresses: [a, b], clock, hedge: hedge({ delayMs: 50 }), ...options })
  const idempotent = ['/inmesh.trial.Trial/Read', '/inmesh.trial.Trial/Spread']
  return { ...made, clock, a, b, stub: made.client({ mesh: { idempotent } }) }
}

const asked = ({ held, streams }: Holder) => held.length + streams.length

async function bothAsked({ clock, a, b }: Trial): Promise<void> {
  await until(() => asked(a) > 0)
  clock.advance(50)
  await until(() => asked(b) > 0)
}

const reasonsOf = ({ watch }: GrpcEngine) => watch.last.attempts.map(({ number, reason }) => `${number} ${reason}`)

describe('a gRPC call whose answer is late', () => {
  test('is answered by whoever answers first, and the other is cancelled', async (t) => {
    const trying = await trial(t)
    const got = answer<Answer>((done) => trying.stub.read({ body: Buffer.from('question') }, done))
    await bothAsked(trying)

    trying.b.answer()

    assert.equal((await got).server, 'b')
    await until(() => trying.a.cancelled === 1)
    assert.deepEqual(reasonsOf(trying), ['1 cancelled', '2 ok'])
    assert.equal(trying.service.inFlight, 0)
    assert.equal(trying.b.held[0]?.request.body?.toString(), 'question')
    assert.deepEqual(trying.a.metadata[0]?.get('grpc-previous-rpc-attempts'), [])
    assert.deepEqual(trying.b.metadata[0]?.get('grpc-previous-rpc-attempts'), ['1'])
  })

  test('is answered by the first all the same, if that comes first', async (t) => {
    const trying = await trial(t)
    const got = answer<Answer>((done) => trying.stub.read({}, done))
    await bothAsked(trying)

    trying.a.answer()

    assert.equal((await got).server, 'a')
    await until(() => trying.b.cancelled === 1)
    assert.deepEqual(reasonsOf(trying), ['2 cancelled', '1 ok'])
  })

  test('sends a large message to both', async (t) => {
    const trying = await trial(t)
    const body = Buffer.alloc(1_000_000, 'x')
    const got = answer<Answer>((done) => trying.stub.read({ body }, done))
    await bothAsked(trying)

    assert.deepEqual(trying.b.held[0]?.request.body, body)
    trying.b.answer()
    assert.equal((await got).server, 'b')
  })

  test('has every message of a stream from the winner, in order', async (t) => {
    const trying = await trial(t)
    const stream = trying.stub.spread({ bytes: [] })
    const received: number[] = []
    stream.on('data', ({ body }: Answer) => received.push(body.length))
    await bothAsked(trying)

    const [winner] = trying.b.streams as [Stream]
    for (let i = 0; i < 200; i++) winner.write({ body: Buffer.alloc(i * 100), server: 'b' })
    winner.end()
    await new Promise((resolve) => stream.on('end', resolve))

    assert.deepEqual(
      received,
      Array.from({ length: 200 }, (_, i) => i * 100),
    )
    assert.deepEqual(reasonsOf(trying), ['1 cancelled', '2 ok'])
  })

  test('is told of one answer when both come at once', async (t) => {
    const trying = await trial(t)
    let answers = 0
    const got = answer<Answer>((done) =>
      trying.stub.read({}, (error, value) => {
        answers++
        done(error, value)
      }),
    )
    await bothAsked(trying)

    trying.a.answer()
    trying.b.answer()

    await got
    await settle()
    assert.equal(answers, 1)
  })
})

describe('a gRPC call that is not hedged', () => {
  const lone = async (trying: Trial, ask: (done: (error: grpc.ServiceError | null, value?: Answer) => void) => unknown) => {
    const got = answer<Answer>(ask)
    await until(() => asked(trying.a) > 0)
    trying.clock.advance(10_000)
    await settle()
    assert.equal(asked(trying.b), 0)
    trying.a.answer()
    assert.equal((await got).server, 'a')
  }

  test('is one that must not be sent twice', async (t) => {
    const trying = await trial(t)
    await lone(trying, (done) => trying.stub.ask({}, done))
  })

  test('is one for which nobody pays', async (t) => {
    const trying = await trial(t, { budget: () => emptyBudget })
    await lone(trying, (done) => trying.stub.read({}, done))
  })

  test('is one that is made for a resend', async (t) => {
    const trying = await trial(t)
    await withContext(requestContext({ attempt: 2 }), () => lone(trying, (done) => trying.stub.read({}, done)))
  })

  test('is one whose deadline is nearer', async (t) => {
    const trying = await trial(t, { hedge: hedge({ delayMs: 60_000 }) })
    const deadline = Date.now() + 50_000
    await lone(trying, (done) => trying.stub.read({}, { deadline }, done))
  })

  test('is one whose caller may still write', async (t) => {
    const trying = await trial(t)
    const idempotent = () => true
    const call = trying.client({ mesh: { idempotent } }).converse()
    const answers: string[] = []
    call.on('data', ({ server }: Answer) => void answers.push(server))
    call.write({})
    await until(() => answers.length === 1)
    trying.clock.advance(10_000)
    call.write({})
    await until(() => answers.length === 2)
    call.end()
    await new Promise((resolve) => call.on('end', resolve))

    assert.equal(trying.watch.last.attempts.length, 1)
    assert.equal(new Set(answers).size, 1)
  })
})

describe('a failure of a gRPC attempt', () => {
  test('is not heard of while another is under way', async (t) => {
    const trying = await trial(t)
    const got = answer<Answer>((done) => trying.stub.read({}, done))
    await bothAsked(trying)

    trying.a.refuse(grpc.status.UNAVAILABLE)
    await until(() => trying.service.inFlight === 1)
    trying.b.answer()

    assert.equal((await got).server, 'b')
    assert.deepEqual(reasonsOf(trying), ['1 unavailable', '2 ok'])
  })

  test('is followed at once by the next, unless the server asks for none', async (t) => {
    for (const [pushback, sent] of [
      [undefined, 3],
      ['-1', 2],
      ['soon', 2],
    ] as const) {
      const c = await holder(t, 'c')
      const trying = await trial(t, { hedge: hedge({ delayMs: 50, attempts: 3 }) })
      trying.update([trying.a, trying.b, c])
      const got = answer<Answer>((done) => trying.stub.read({}, done))
      await bothAsked(trying)

      trying.a.refuse(grpc.status.UNAVAILABLE, pushback)
      await until(() => trying.service.inFlight === 1)
      trying.clock.advance(sent === 3 ? 0 : 10_000)
      await (sent === 3 ? until(() => c.held.length === 1) : settle())
      assert.equal(asked(c), sent - 2)
      trying.b.answer()

      assert.equal((await got).server, 'b')
      assert.equal(trying.watch.last.attempts.length, sent)
    }
  })

  test('of all of them is told as that of the last, with how many there were', async (t) => {
    const trying = await trial(t)
    const failed = assert.rejects(
      answer((done) => trying.stub.read({}, done)),
      {
        code: grpc.status.UNAVAILABLE,
        details: `voting: 2 attempts failed, last on 127.0.0.1:${trying.a.port}: a will not`,
      },
    )
    await bothAsked(trying)

    trying.b.refuse(grpc.status.UNAVAILABLE)
    await until(() => trying.service.inFlight === 1)
    trying.a.refuse(grpc.status.UNAVAILABLE)

    await failed
  })

  test('that sending again would not mend is told at once', async (t) => {
    const trying = await trial(t)
    const failed = assert.rejects(
      answer((done) => trying.stub.read({}, done)),
      { code: grpc.status.NOT_FOUND },
    )
    await bothAsked(trying)

    trying.b.refuse(grpc.status.NOT_FOUND)

    await failed
    await until(() => trying.a.cancelled === 1)
  })
})

describe('the end of a hedged gRPC call', () => {
  test('by the application ends every attempt', async (t) => {
    const trying = await trial(t)
    let call: grpc.ClientUnaryCall | undefined
    const failed = assert.rejects(
      answer((done) => {
        call = trying.stub.read({}, done)
      }),
      { code: grpc.status.CANCELLED },
    )
    await bothAsked(trying)

    call?.cancel()

    await failed
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
    assert.deepEqual(reasonsOf(trying).sort(), ['1 cancelled', '2 cancelled'])
    assert.equal(trying.service.inFlight, 0)
  })

  test('by the caller it was made for ends every attempt', async (t) => {
    const trying = await trial(t)
    const leaving = new AbortController()
    const failed = withContext(requestContext({ leaves: leaving.signal }), () =>
      assert.rejects(answer((done) => trying.stub.read({}, done))),
    )
    await bothAsked(trying)

    leaving.abort(new Error('left'))

    await failed
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
  })

  test('by its deadline ends every attempt', async (t) => {
    const trying = await trial(t)
    const failed = assert.rejects(
      answer((done) => trying.stub.read({}, { deadline: Date.now() + 400 }, done)),
      { code: grpc.status.DEADLINE_EXCEEDED },
    )
    await bothAsked(trying)

    await failed
    assert.deepEqual(reasonsOf(trying).sort(), ['1 timeout', '2 timeout'])
    assert.equal(trying.service.inFlight, 0)
  })
})

test('the time of one gRPC attempt is each attempt’s own', async (t) => {
  const trying = await trial(t, { perTryTimeoutMs: 100 })
  const got = answer<Answer>((done) => trying.stub.read({}, done))
  await bothAsked(trying)

  trying.clock.advance(50)
  assert.deepEqual(reasonsOf(trying), ['1 try_timeout'])
  await until(() => trying.a.cancelled === 1)
  trying.b.answer()

  assert.equal((await got).server, 'b')
})
