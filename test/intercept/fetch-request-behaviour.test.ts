import assert from 'node:assert/strict'
import test from 'node:test'
import { described, failure, failureOf, same } from '../support/compare-fetch.ts'

/** Arguments of `fetch` after the origin, each sent and echoed. */
const requests: Record<string, (origin: string) => [input: unknown, init?: unknown]> = {
  'a GET without options': (origin) => [`${origin}/api/vote?choice=:doughnut:`],
  'a URL without path': (origin) => [origin],
  'a URL object': (origin) => [new URL('/x?y=1', origin)],
  'a fragment, which stays here': (origin) => [`${origin}/x#here`],
  'dot segments': (origin) => [`${origin}/a/./b/../c?d=../e`],
  'escaped dot segments': (origin) => [`${origin}/a/%2e%2E/c`],
  'a path that needs escapes': (origin) => [`${origin}/ä b"c?d=ä b'"<>`],
  'escapes as they are': (origin) => [`${origin}/a%20b%zz?c=%20%zz`],
  'a lone question mark': (origin) => [`${origin}/a?`],
  'two slashes': (origin) => [`${origin}//a//b/`],
  backslashes: (origin) => [`${origin}\\a\\b`],
  'space around the URL': (origin) => [`  ${origin}/a\n`],
  'capitals in scheme and host': (origin) => [origin.replace('http://127.0.0.1', 'HTTP://LOCALHOST')],
  'an IPv4 address in disguise': (origin) => [`${origin.replace('127.0.0.1', '127.1')}/a`],
  'something with a toString': (origin) => [{ toString: () => `${origin}/a` }],
  'null options': (origin) => [origin, null],
  'no options': (origin) => [origin, {}],
  'options that are not known': (origin) => [origin, { nonsense: 1, agent: {} }],
  'options of a class': (origin) => [origin, Object.create({ method: 'DELETE', headers: { 'x-a': '1' } })],
  'a lower-case method': (origin) => [origin, { method: 'post' }],
  'a mixed-case method': (origin) => [origin, { method: 'Put', body: 'x' }],
  PATCH: (origin) => [origin, { method: 'PATCH', body: 'x' }],
  'a method of its own': (origin) => [origin, { method: 'PURGE' }],
  'DELETE without a body': (origin) => [origin, { method: 'DELETE' }],
  OPTIONS: (origin) => [origin, { method: 'OPTIONS' }],
  'PUT without a body': (origin) => [origin, { method: 'PUT' }],
  'a text body': (origin) => [origin, { method: 'POST', body: '{"a":"ä€😀"}' }],
  'a text body with half a character': (origin) => [origin, { method: 'POST', body: 'a\ud800b' }],
  'an empty body': (origin) => [origin, { method: 'POST', body: '' }],
  'an empty body of a DELETE': (origin) => [origin, { method: 'DELETE', body: '' }],
  'a null body': (origin) => [origin, { method: 'POST', body: null }],
  'a body of bytes': (origin) => [origin, { method: 'POST', body: new TextEncoder().encode('bytes') }],
  'a body of some bytes of a buffer': (origin) => [origin, { method: 'POST', body: Buffer.from('0123456789').subarray(2, 5) }],
  'an ArrayBuffer': (origin) => [origin, { method: 'POST', body: new TextEncoder().encode('buffer').buffer }],
  'a DataView': (origin) => [origin, { method: 'POST', body: new DataView(new TextEncoder().encode('view').buffer, 1) }],
  'a form in the URL encoding': (origin) => [origin, { method: 'POST', body: new URLSearchParams({ a: 'ä b', c: '&' }) }],
  'a blob with a type': (origin) => [origin, { method: 'POST', body: new Blob(['blob'], { type: 'text/css' }) }],
  'a blob without type': (origin) => [origin, { method: 'POST', body: new Blob(['blob']) }],
  'a number as body': (origin) => [origin, { method: 'POST', body: 12 }],
  'an object as body': (origin) => [origin, { method: 'POST', body: { a: 1 } }],
  'a stream as body': (origin) => [origin, { method: 'POST', body: new Blob(['streamed']).stream(), duplex: 'half' }],
  'a generator as body': (origin) => [origin, { method: 'POST', body: pieces(), duplex: 'half' }],
  'a type of the caller’s own': (origin) => [
    origin,
    { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } },
  ],
  'a length of the caller’s own': (origin) => [origin, { method: 'POST', body: 'abc', headers: { 'content-length': '3' } }],
  'headers in a record': (origin) => [origin, { headers: { 'X-B': '2', 'x-a': '1', Accept: 'application/json', n: 5 } }],
  'headers in pairs': (origin) => [origin, { headers: [['x-b', '2'], ['X-A', '1'], ['user-agent', 'me']] }], // biome-ignore format: one row a case
  'headers that come twice': (origin) => [origin, { headers: [['x-a', '1'], ['x-a', '2'], ['X-A', '3'], ['cookie', 'a=1'], ['cookie', 'b=2']] }], // biome-ignore format: one row a case
  'headers in two spellings': (origin) => [origin, { headers: { 'X-A': '1', 'x-a': '2' } }],
  'headers in two spellings, small first': (origin) => [origin, { headers: { 'x-a': '1', 'X-A': '2' } }],
  'headers that need trimming': (origin) => [origin, { headers: { 'x-a': ' \t1\t ', 'x-b': '' } }],
  'headers beyond ASCII': (origin) => [origin, { headers: { 'x-a': 'ä' } }],
  'headers in a map': (origin) => [origin, { headers: new Map([['x-a', '1']]) }],
  'headers with a value that is no text': (origin) => [origin, { headers: { 'x-a': undefined, 'x-b': null, 'x-c': true } }],
  'fetch’s own headers': (origin) => [
    origin,
    { headers: { 'accept-language': 'de', 'accept-encoding': 'identity', 'sec-fetch-mode': 'no-cors', host: 'x' } },
  ],
  'a range': (origin) => [origin, { headers: { range: 'bytes=0-1' } }],
  'a condition': (origin) => [origin, { headers: { 'if-none-match': '"a"' } }],
  'no headers': (origin) => [origin, { headers: {} }],
  credentials: (origin) => [origin, { credentials: 'include', headers: { authorization: 'Bearer x' } }],
  'no cache': (origin) => [origin, { cache: 'no-store' }],
  'mode same-origin': (origin) => [origin, { mode: 'same-origin' }],
  'mode no-cors': (origin) => [origin, { mode: 'no-cors' }],
  keepalive: (origin) => [origin, { keepalive: true, method: 'POST', body: 'x' }],
  'a referrer': (origin) => [origin, { referrer: `${origin}/from`, referrerPolicy: 'unsafe-url' }],
  'a null window': (origin) => [origin, { window: null }],
  'a null signal': (origin) => [origin, { signal: null }],
  'a Request': (origin) => [new Request(`${origin}/r`, { method: 'PUT', body: 'r', headers: { 'x-a': '1' } })],
  'a Request with a referrer': (origin) => [new Request(origin, { referrer: `${origin}/from`, referrerPolicy: 'unsafe-url' })],
  'a Request and options': (origin) => [
    new Request(origin, { method: 'PUT', body: 'r' }),
    { method: 'POST', headers: { 'x-b': '2' } },
  ],
  'a Request as options': (origin) => [`${origin}/x`, new Request(origin, { method: 'DELETE', headers: { 'x-a': '1' } })],
}

for (const [name, args] of Object.entries(requests)) {
  test(`sends ${name} as Node’s fetch does`, async (t) => {
    const seen = await same(
      t,
      async (site) => described(await site.fetch(...(args(site.origin) as Parameters<typeof fetch>))),
      since(name),
    )

    assert.equal((seen as { status: number }).status, 200)
  })
}

/** What older versions of Node's fetch get wrong: they drop the mark, and read a length as text. */
function since(name: string): number {
  return name === 'a lone question mark' || name.includes('length') ? 7 : 0
}

async function* pieces(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('piece')
  yield Buffer.from('meal')
}

test('sends a multipart form as Node’s fetch does, but for the boundary', async (t) => {
  await same(t, async (site) => {
    const form = new FormData()
    form.append('a', '1')
    form.append('file', new File(['content'], 'name.txt', { type: 'text/plain' }))
    const response = await site.fetch(site.origin, { method: 'POST', body: form })
    return (await response.text()).replaceAll(/formdata-undici-\d+/g, 'BOUNDARY')
  })
})

test('sends headers of a Headers object with the same names and values', async (t) => {
  await same(t, async (site) => {
    const headers = new Headers({ 'X-B': '2', 'x-a': '1', accept: 'application/json' })
    headers.append('x-a', '3')
    const { rawHeaders } = (await (await site.fetch(site.origin, { headers })).json()) as { rawHeaders: string[] }
    // Ours are sorted and in lower case; HTTP knows neither order nor case of names.
    const pairs = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [`${name.toLowerCase()}: ${rawHeaders[i + 1]}`] : []))
    return pairs.sort()
  })
})

/** Arguments that fetch refuses, each with its own error. */
const refused: Record<string, (origin: string) => [input?: unknown, init?: unknown]> = {
  'no URL at all': () => [],
  'a relative URL': () => ['/api'],
  'an empty URL': () => [''],
  'a URL without host': () => ['http://'],
  'a port out of range': () => ['http://127.0.0.1:70000/'],
  'a name that is none': () => ['http://xn--a/'],
  'credentials in the URL': (origin) => [origin.replace('//', '//user:pass@')],
  'an unknown scheme': () => ['gopher://x/'],
  'a file': () => ['file:///etc/passwd'],
  'a port that is blocked': () => ['http://127.0.0.1:6667/'],
  'a forbidden method': (origin) => [origin, { method: 'TRACE' }],
  CONNECT: (origin) => [origin, { method: 'CONNECT' }],
  'a method that is no token': (origin) => [origin, { method: 'a b' }],
  'a body of a GET': (origin) => [origin, { body: 'x' }],
  'a body of a HEAD': (origin) => [origin, { method: 'HEAD', body: 'x' }],
  'a stream without duplex': (origin) => [origin, { method: 'POST', body: new ReadableStream() }],
  'another duplex': (origin) => [origin, { method: 'POST', body: 'x', duplex: 'full' }],
  'a header name with a space': (origin) => [origin, { headers: { 'a b': '1' } }],
  'an empty header name': (origin) => [origin, { headers: { '': '1' } }],
  'a header value with a line break': (origin) => [origin, { headers: { a: '1\r\nb: 2' } }],
  'a header value beyond a byte': (origin) => [origin, { headers: { a: '€' } }],
  'a header pair of three': (origin) => [origin, { headers: [['a', 'b', 'c']] }],
  'null headers': (origin) => [origin, { headers: null }],
  'headers as text': (origin) => [origin, { headers: 'a: b' }],
  'a transfer-encoding': (origin) => [origin, { headers: { 'transfer-encoding': 'chunked' } }],
  'an expectation': (origin) => [origin, { method: 'POST', body: 'x', headers: { expect: '100-continue' } }],
  'a wrong length': (origin) => [origin, { method: 'POST', body: 'abc', headers: { 'content-length': '5' } }],
  'an unknown redirect mode': (origin) => [origin, { redirect: 'never' }],
  'an unknown cache mode': (origin) => [origin, { cache: 'never' }],
  'an unknown mode': (origin) => [origin, { mode: 'never' }],
  'unknown credentials': (origin) => [origin, { credentials: 'never' }],
  'a window': (origin) => [origin, { window: {} }],
  'a signal that is none': (origin) => [origin, { signal: {} }],
  'options that are none': (origin) => [origin, 'GET'],
  'an integrity that does not match': (origin) => [origin, { integrity: 'sha256-AAAA' }],
  'a used Request': (origin) => [used(new Request(origin, { method: 'POST', body: 'x' }))],
  'nobody listening': () => ['http://127.0.0.1:1/'.replace(':1/', ':2/')],
  'nobody listening, with options': () => ['http://localhost:3/', { method: 'POST', body: 'x' }],
  'a host that does not exist': () => ['http://does-not-exist.invalid/'],
}

for (const [name, args] of Object.entries(refused)) {
  test(`refuses ${name} with the same error, and never throws`, async (t) => {
    await same(
      t,
      (site) => {
        const promise = site.fetch(...(args(site.origin) as Parameters<typeof fetch>))
        assert.ok(promise instanceof Promise)
        return failureOf(promise)
      },
      since(name),
    )
  })
}

function used(request: Request): Request {
  request.text()
  return request
}

for (const url of ['data:text/plain,hello', 'data:;base64,aGVsbG8=', 'about:blank', 'blob:nodedata:x']) {
  test(`fetches ${url} as Node’s fetch does`, async (t) => {
    await same(t, (site) => site.fetch(url).then(described, failure))
  })
}

test('takes bytes at the call: what is done to them later does not matter', async (t) => {
  await same(t, async (site) => {
    const body = new TextEncoder().encode('before')
    const sent = site.fetch(site.origin, { method: 'POST', body })
    body.fill(0)
    return (await (await sent).json()) as object
  })
})

test('has the name and length of fetch', async (t) => {
  await same(t, async (site) => ({ name: site.fetch.name, length: site.fetch.length }))
})
