import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { FormData } from 'undici'
import { isIterable, isRepeatable, ReplayBody } from '../../src/intercept/undici/replay-body.ts'
import { settle } from '../support/virtual-time.ts'

const KEPT_BYTES = 64 * 1024

async function text(body: AsyncIterable<unknown>): Promise<string> {
  let all = ''
  for await (const chunk of body) all += String(chunk)
  return all
}

/** Reads `chunks` of them and then waits for the one after, as undici does on a connection that is then lost. */
function begin(body: ReplayBody): { readonly seen: string[]; readonly over: Promise<unknown> } {
  const seen: string[] = []
  const over = (async () => {
    for await (const chunk of body) seen.push(String(chunk))
  })().catch((error: unknown) => error)
  return { seen, over }
}

async function* letters(...list: string[]): AsyncGenerator<string> {
  yield* list
}

test('knows which bodies can be read again', () => {
  for (const body of [
    undefined,
    null,
    '',
    'a',
    Buffer.from('a'),
    new Uint8Array(1),
    new DataView(new ArrayBuffer(1)),
    new ArrayBuffer(1),
    new Blob(['a']),
    new FormData(),
  ]) {
    assert.equal(isRepeatable(body), true)
  }
  for (const body of [Readable.from(['a']), letters('a'), ['a'], new ReadableStream(), 42, {}])
    assert.equal(isRepeatable(body), false)
})

test('reads only what can be iterated over', () => {
  for (const body of [Readable.from(['a']), letters('a'), ['a'], new ReadableStream()]) assert.equal(isIterable(body), true)
  for (const body of [42, true, {}, null, undefined, () => {}]) assert.equal(isIterable(body), false)
})

test('gives the whole body each time', async () => {
  const body = new ReplayBody(letters('a', 'b', 'c'))

  assert.equal(await text(body), 'abc')
  assert.equal(body.replayable, true)
  assert.equal(await text(body), 'abc')
})

test('takes plain iterables and streams, too', async () => {
  assert.equal(await text(new ReplayBody(['a', Buffer.from('b')])), 'ab')
  assert.equal(await text(new ReplayBody(Readable.from(['a', 'b']))), 'ab')
})

test('goes on with the source where the iteration before broke off', async () => {
  const body = new ReplayBody(letters('a', 'b', 'c'))
  for await (const chunk of body) if (chunk === 'b') break

  assert.equal(await text(body), 'abc')
})

test('loses no chunk that an iteration which was given up still waited for', async () => {
  const source = new PassThrough({ encoding: 'utf8' })
  const body = new ReplayBody(source)
  const first = begin(body)
  source.write('a')
  await settle()
  const second = text(body)
  await settle()

  source.end('b')

  assert.equal(await second, 'ab')
  assert.ok((await first.over) instanceof Error, 'the first must break off: a body that ended early would look whole')
  assert.deepEqual(first.seen, ['a'])
})

test('keeps no more than 64 KiB', async () => {
  const small = new ReplayBody([Buffer.alloc(KEPT_BYTES)])
  const large = new ReplayBody([Buffer.alloc(KEPT_BYTES), Buffer.alloc(1)])
  for await (const _ of small);
  for await (const _ of large);

  assert.equal(small.replayable, true)
  assert.equal(large.replayable, false)
})

test('passes on a body of any length', async () => {
  const body = new ReplayBody(Array.from({ length: 100 }, (_, i) => `${i},`.repeat(1_000)))

  const all = await text(body)

  assert.equal(all.length, Array.from({ length: 100 }, (_, i) => `${i},`.repeat(1_000)).join('').length)
  assert.equal(body.replayable, false)
})

test('passes on what undici will refuse, for undici to refuse', async () => {
  const seen: unknown[] = []
  for await (const chunk of new ReplayBody([1, {}, null])) seen.push(chunk)

  assert.deepEqual(seen, [1, {}, null])
})

test('fails each iteration with the failure of the source, never ends early', async () => {
  const failure = new Error('disk gone')
  const body = new ReplayBody(
    (async function* () {
      yield 'a'
      throw failure
    })(),
  )

  await assert.rejects(text(body), failure)
  await assert.rejects(text(body), failure)
})

test('ends the source when the call has failed', async () => {
  let ended = false
  const body = new ReplayBody(
    (async function* () {
      try {
        for (;;) yield 'a'
      } finally {
        ended = true
      }
    })(),
  )
  for await (const _ of body) break

  body.close()
  body.close()
  await settle()

  assert.equal(ended, true)
  assert.equal(body.replayable, false)
})

test('ends a stream when the call has failed', async () => {
  const source = new PassThrough()
  const body = new ReplayBody(source)
  const reading = begin(body)
  await settle()

  body.close()

  assert.ok((await reading.over) instanceof Error)
  assert.equal(source.destroyed, true)
})

test('lets what still travels end when the call has its answer', async () => {
  const source = new PassThrough({ encoding: 'utf8' })
  const body = new ReplayBody(source)
  const reading = begin(body)
  source.write('a')
  await settle()

  body.release()
  source.end('b')
  await reading.over

  assert.deepEqual(reading.seen, ['a', 'b'])
})

test('ends a source that nobody reads any more once the call has its answer', async () => {
  const source = new PassThrough()
  const body = new ReplayBody(source)
  source.write('a')
  for await (const _ of body) break

  body.release()

  assert.equal(source.destroyed, true)
})

test('survives a source that throws when it is ended', async () => {
  const source = {
    [Symbol.iterator]: () => ({
      next: () => ({ done: false, value: 'a' }),
      return: (): never => {
        throw new Error('no')
      },
    }),
  }
  const body = new ReplayBody(source as never)
  for await (const _ of body) break

  body.close()
  await settle()
})

test('gives the whole body however often and wherever it was broken off', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ minLength: 1 })), fc.array(fc.nat(10)), async (chunks, breaks) => {
      const body = new ReplayBody(letters(...chunks))
      for (const at of breaks) {
        let seen = 0
        for await (const _ of body) if (seen++ >= at) break
      }

      assert.equal(await text(body), chunks.join(''))
    }),
  )
})

test('can be read side by side once its source is at its end, also when one of them goes on after the answer', async () => {
  const body = new ReplayBody(letters('a', 'b', 'c'))
  assert.equal(body.whole, false)
  assert.equal(await text(body), 'abc')
  assert.equal(body.whole, true)

  const slow = body[Symbol.asyncIterator]()
  assert.equal((await slow.next()).value, 'a')
  const other = body[Symbol.asyncIterator]()
  assert.equal((await other.next()).value, 'a')
  body.release()

  assert.deepEqual(
    [await slow.next(), await other.next()].map(({ value }) => value),
    ['b', 'b'],
  )
  assert.deepEqual(
    [await slow.next(), await other.next()].map(({ value }) => value),
    ['c', 'c'],
  )
  assert.deepEqual(
    [await slow.next(), await other.next()].map(({ done }) => done),
    [true, true],
  )
  assert.equal(body.whole, false)
})

test('breaks off all who read it side by side when its call has failed', async () => {
  const body = new ReplayBody(letters('a', 'b'))
  await text(body)
  const [one, other] = [body[Symbol.asyncIterator](), body[Symbol.asyncIterator]()]
  await Promise.all([one.next(), other.next()])

  body.close()

  await assert.rejects(one.next(), /body sent elsewhere/)
  await assert.rejects(other.next(), /body sent elsewhere/)
})

test('can’t be read side by side when it was too long to keep', async () => {
  const body = new ReplayBody(letters('x'.repeat(KEPT_BYTES + 1)))

  await text(body)

  assert.equal(body.whole, false)
})
