import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import grpc from '@grpc/grpc-js'
import type { Answer, Question } from './support/grpc-trial.ts'
import { RotatedServices } from './support/rotated-services.ts'
import { cleanup } from './support/servers.ts'
import { SteadyLoad } from './support/steady-load.ts'

/** Of a leaf: new connections are made within half of what is left of it, and a process that stands still for as long again is not lost. */
const LEAF_LIFE_MS = 12_000
/** Between two calls of each kind. */
const EVERY_MS = 5
/** Calls between two steps that wait for nothing else. */
const CALLS = 200

const NOT_TRUSTED = /its issuer is neither among the certificates sent nor among the 1 trust anchors/

test('leaves renewed and the root changed twice under load fail no call over HTTP/1.1, HTTP/2 and gRPC and cut no stream off', {
  timeout: 90_000,
}, async (t) => {
  const services = await RotatedServices.start(LEAF_LIFE_MS)
  cleanup(t, () => services.close())
  assert.match(await callStraggler(services), /^[\dA-F]+ /)
  assert.equal(await callAsStraggler(services), 200)
  const streams = await Streams.open(services)
  const load = new SteadyLoad(services.doors, EVERY_MS)
  cleanup(t, () => load.stop())

  // trust the next root, issue from it, trust the one before no more; leaves are renewed with each step
  for (const step of ['renew', 'renew', 'addRoot', 'changeIssuer', 'removeOldRoots', 'addRoot', 'changeIssuer'] as const) {
    await services.rotate(step)
    await streams.carry(step)
    if (step === 'changeIssuer') await load.eachAnswers(() => services.present)
    else await load.more(CALLS)
  }
  await services.rotate('removeOldRoots')
  await services.rotate('renew')
  await load.eachAnswers(() => services.present)
  await streams.carry('the last step')
  await load.eachSettles(() => services.present, CALLS)
  await load.stop()

  assert.deepEqual(load.failed, [])
  for (const door of Object.keys(services.doors)) assert.equal(load.last.get(door), services.present, door)
  await streams.end()
  await assert.rejects(callStraggler(services), ({ cause }: Error) => NOT_TRUSTED.test((cause as Error).message))
  await assert.rejects(callAsStraggler(services), { code: 'ECONNRESET' })
  assert.match(services.callee.mesh.prometheus(), /mesh_tls_side="server",mesh_tls_result="untrusted"} 1\n/)
})

/** The straggler's answer, who shows a certificate of the first root. */
async function callStraggler({ caller }: RotatedServices): Promise<string> {
  const response = await caller.mesh.fetch('http://straggler/')
  return response.text()
}

/** The callee's status, for one who shows a certificate of the first root. */
async function callAsStraggler({ ports, straggler }: RotatedServices): Promise<number | undefined> {
  const { directory } = straggler.volume
  const [cert, key] = [readFileSync(join(directory, 'tls.crt')), readFileSync(join(directory, 'tls.key'))]
  const options = { host: '127.0.0.1', port: ports.http, cert, key, rejectUnauthorized: false, agent: false } as const
  const [response] = (await once(https.get(options), 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

/** An answer over each protocol that goes on for as long as the test. */
class Streams {
  readonly #services: RotatedServices
  readonly #bodies: readonly Body[]
  readonly #conversation: grpc.ClientDuplexStream<Question, Answer>

  static async open(services: RotatedServices): Promise<Streams> {
    const bodies = await Promise.all(['http', 'h2'].map((name) => bodyOf(services, name)))
    return new Streams(services, bodies)
  }

  private constructor(services: RotatedServices, bodies: readonly Body[]) {
    this.#services = services
    this.#bodies = bodies
    this.#conversation = services.client.converse()
  }

  /** Resolves once each has carried the text. */
  async carry(text: string): Promise<void> {
    this.#services.write(text)
    for (const body of this.#bodies) assert.equal(await piece(body), text)
    this.#conversation.write({ answerBytes: text.length })
    const [answer] = (await once(this.#conversation, 'data')) as [Answer]
    assert.equal(answer.body.length, text.length)
  }

  /** Resolves once each has ended as it should. */
  async end(): Promise<void> {
    this.#services.endStreams()
    for (const body of this.#bodies) assert.equal((await body.read()).done, true)
    this.#conversation.resume().end()
    const [{ code }] = (await once(this.#conversation, 'status')) as [grpc.StatusObject]
    assert.equal(code, grpc.status.OK)
  }
}

type Body = ReadableStreamDefaultReader<Uint8Array>

async function bodyOf({ caller }: RotatedServices, name: string): Promise<Body> {
  const { body } = await caller.mesh.fetch(`http://${name}/stream`)
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  assert.equal(await piece(reader), 'begun')
  return reader
}

async function piece(body: Body): Promise<string> {
  return Buffer.from((await body.read()).value ?? []).toString()
}
