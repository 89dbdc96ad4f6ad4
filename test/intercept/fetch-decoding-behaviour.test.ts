import assert from 'node:assert/strict'
import test from 'node:test'
import zlib from 'node:zlib'
import { described, failure, same } from '../support/compare-fetch.ts'

const TEXT = 'aäa€'.repeat(500)
const plain = Buffer.from(TEXT)

const encodings: Record<string, [encoding: string, bytes: Buffer]> = {
  gzip: ['gzip', zlib.gzipSync(plain)],
  'x-gzip': ['x-gzip', zlib.gzipSync(plain)],
  deflate: ['deflate', zlib.deflateSync(plain)],
  'raw deflate': ['deflate', zlib.deflateRawSync(plain)],
  br: ['br', zlib.brotliCompressSync(plain)],
  zstd: ['zstd', zlib.zstdCompressSync(plain)],
  'two codings': ['gzip, br', zlib.brotliCompressSync(zlib.gzipSync(plain))],
  'capitals and space': ['GZip , x-gzip', zlib.gzipSync(zlib.gzipSync(plain))],
  'gzip of nothing': ['gzip', zlib.gzipSync('')],
  'nothing as gzip': ['gzip', Buffer.alloc(0)],
  'nothing as deflate': ['deflate', Buffer.alloc(0)],
  'nothing as br': ['br', Buffer.alloc(0)],
  'an unknown coding': ['unknown', plain],
  'an unknown coding among known ones': ['gzip, unknown', plain],
  identity: ['identity', plain],
  'an empty coding': ['', plain],
  'six codings': ['gzip, gzip, gzip, gzip, gzip, gzip', plain],
  'what is no gzip': ['gzip', plain],
  'what is no deflate': ['deflate', plain],
  'what is no br': ['br', plain],
  'what is no zstd': ['zstd', plain],
  'gzip that breaks off': ['gzip', zlib.gzipSync(plain).subarray(0, 20)],
  'gzip without its trailer': ['gzip', zlib.gzipSync(plain).subarray(0, -8)],
  'br that breaks off': ['br', zlib.brotliCompressSync(plain).subarray(0, 10)],
  'zstd that breaks off': ['zstd', zlib.zstdCompressSync(plain).subarray(0, 20)],
  'gzip with something behind': ['gzip', Buffer.concat([zlib.gzipSync(plain), Buffer.from('behind')])],
  'two gzips in a row': ['gzip', Buffer.concat([zlib.gzipSync('a'), zlib.gzipSync('b')])],
}

for (const [name, [encoding, bytes]] of Object.entries(encodings)) {
  for (const method of ['GET', 'HEAD']) {
    test(`decodes ${name} of a ${method} as Node’s fetch does`, async (t) => {
      await same(
        t,
        async (site) => {
          site.answer = (_, response) =>
            response.writeHead(200, { 'content-encoding': encoding, 'content-length': bytes.length }).end(bytes)
          return site.fetch(site.origin, { method }).then(described, failure)
        },
        encoding === 'zstd' || encoding.split(',').length > 5 ? 7 : 0,
      )
    })
  }
}

test('decodes piece by piece', async (t) => {
  const seen = await same(t, async (site) => {
    const gzip = zlib.createGzip()
    site.answer = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      gzip.pipe(response)
      gzip.write('first')
      gzip.flush()
    }
    const response = await site.fetch(site.origin)
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    const first = await reader?.read()
    gzip.end('second')
    const second = await reader?.read()
    return [first?.value, second?.value]
  })

  assert.deepEqual(seen, ['first', 'second'])
})

test('stops a server whose bytes grow beyond what is read', async (t) => {
  const bomb = zlib.gzipSync(Buffer.alloc(64 << 20))

  await same(t, async (site) => {
    site.answer = (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)
    const response = await site.fetch(site.origin)
    const reader = response.body?.getReader()
    const { value } = (await reader?.read()) ?? {}
    await reader?.cancel()
    return (value?.length ?? 0) > 0
  })
})

test('decodes a clone once for both', async (t) => {
  await same(t, async (site) => {
    site.answer = (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(zlib.gzipSync(plain))
    const response = await site.fetch(site.origin)
    const twin = response.clone()
    return [(await response.text()) === TEXT, (await twin.text()) === TEXT]
  })
})

test('ends the decoding when the signal is aborted', async (t) => {
  await same(t, async (site) => {
    const controller = new AbortController()
    site.answer = (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).write(zlib.gzipSync(plain).subarray(0, 50))
    const response = await site.fetch(site.origin, { signal: controller.signal })
    const text = response.text().catch(failure)
    controller.abort(new Error('enough'))
    return text
  })
})
