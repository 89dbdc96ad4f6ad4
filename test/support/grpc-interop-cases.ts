import assert from 'node:assert/strict'
import { once } from 'node:events'
import grpc from '@grpc/grpc-js'
import { answer } from './grpc-engine.ts'
import type { Absent, Answer, TrialClient } from './grpc-trial.ts'

/** Clients of one server. */
export interface InteropClients {
  readonly client: TrialClient
  /** Of a service that the server does not have. */
  readonly absent: InstanceType<typeof Absent>
}

const LARGE_QUESTION = 271_828
const LARGE_ANSWER = 314_159
const QUESTION_SIZES = [27_182, 8, 1_828, 45_904]
const ANSWER_SIZES = [31_415, 9, 2_653, 58_979]

/** gRPC's interoperability cases, by their names; each rejects when it fails. */
export const INTEROP_CASES: Readonly<Record<string, (clients: InteropClients) => Promise<void>>> = {
  empty_unary: async ({ client }) => {
    assert.deepEqual(await answer((done) => client.empty({}, done)), {})
  },

  large_unary: async ({ client }) => {
    const { body } = await answer<Answer>((done) =>
      client.ask({ answerBytes: LARGE_ANSWER, body: Buffer.alloc(LARGE_QUESTION) }, done),
    )

    assert.deepEqual(body, Buffer.alloc(LARGE_ANSWER))
  },

  client_streaming: async ({ client }) => {
    const total = answer<{ bytes: number }>((done) => {
      const call = client.collect(done)
      for (const size of QUESTION_SIZES) call.write({ body: Buffer.alloc(size) })
      call.end()
    })

    assert.deepEqual(await total, { bytes: 74_922 })
  },

  server_streaming: async ({ client }) => {
    const answers = (await client.spread({ bytes: ANSWER_SIZES }).toArray()) as Answer[]

    assert.deepEqual(
      answers.map(({ body }) => body.length),
      ANSWER_SIZES,
    )
  },

  ping_pong: async ({ client }) => {
    const call = client.converse()
    for (const [turn, size] of QUESTION_SIZES.entries()) {
      call.write({ body: Buffer.alloc(size), answerBytes: ANSWER_SIZES[turn] as number })
      const [{ body }] = await once(call, 'data')
      assert.equal(body.length, ANSWER_SIZES[turn])
    }
    call.end()

    const [status] = await once(call, 'status')
    assert.equal(status.code, grpc.status.OK)
  },

  empty_stream: async ({ client }) => {
    const call = client.converse()
    call.end()

    assert.deepEqual(await call.toArray(), [])
  },

  cancel_after_begin: async ({ client }) => {
    const failed = assert.rejects(
      answer((done) => client.collect(done).cancel()),
      { code: grpc.status.CANCELLED, details: 'Cancelled on client' },
    )

    await failed
  },

  cancel_after_first_response: async ({ client }) => {
    const call = client.converse()
    call.write({ body: Buffer.alloc(27_182), answerBytes: 31_415 })
    await once(call, 'data')
    call.cancel()

    const [error] = await once(call, 'error')
    assert.equal(error.code, grpc.status.CANCELLED)
  },

  timeout_on_sleeping_server: async ({ client }) => {
    const call = client.converse({ deadline: Date.now() + 20 })
    call.write({ body: Buffer.alloc(27_182) })
    call.on('data', () => {})

    const [error] = await once(call, 'error')
    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED)
  },

  custom_metadata: async ({ client }) => {
    const sent = new grpc.Metadata()
    sent.set('x-echo-initial', 'test_initial_metadata_value')
    sent.set('x-echo-bin', Buffer.from([0xab, 0xab, 0xab]))

    const call = client.ask({}, sent, () => {})
    const [[initial], [status]] = await Promise.all([once(call, 'metadata'), once(call, 'status')])

    assert.deepEqual(initial.get('x-echo-initial'), ['test_initial_metadata_value'])
    assert.deepEqual(status.metadata.get('x-echo-bin'), [Buffer.from([0xab, 0xab, 0xab])])
  },

  status_code_and_message: async ({ client }) => {
    const question = { statusCode: grpc.status.UNKNOWN, statusDetails: 'test status message' }

    await assert.rejects(
      answer((done) => client.ask(question, done)),
      { code: grpc.status.UNKNOWN, details: 'test status message' },
    )
    const call = client.converse()
    call.write(question)
    const [error] = await once(call, 'error')
    assert.equal(error.code, grpc.status.UNKNOWN)
    assert.equal(error.details, 'test status message')
  },

  special_status_message: async ({ client }) => {
    const statusDetails = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'

    await assert.rejects(
      answer((done) => client.ask({ statusCode: grpc.status.UNKNOWN, statusDetails }, done)),
      { code: grpc.status.UNKNOWN, details: statusDetails },
    )
  },

  unimplemented_method: async ({ client }) => {
    await assert.rejects(
      answer((done) => client.missing({}, done)),
      { code: grpc.status.UNIMPLEMENTED },
    )
  },

  unimplemented_service: async ({ absent }) => {
    await assert.rejects(
      answer((done) => absent.call({}, done)),
      { code: grpc.status.UNIMPLEMENTED },
    )
  },
}
