import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import test from 'node:test'
import { inspect } from 'node:util'
import { described, failure, failureOf, type Site, same } from '../support/compare-fetch.ts'

/** Answers, each read whole and described. */
const answers: Record<string, RequestListener> = {
  text: (_, response) => response.end('text'),
  'an empty body': (_, response) => response.end(),
  'a body in chunks': (_, response) => {
    response.write('a')
    response.write('b')
    response.end('c')
  },
  'a byte order mark': (_, response) => response.end('\ufefftext'),
  'half a character': (_, response) => response.end(Buffer.from([0x61, 0xe2, 0x82, 0x62, 0xff])),
  'a long body': (_, response) => response.end('0123456789'.repeat(50_000)),
  'a status of its own': (_, response) => response.writeHead(299, 'As You Like').end('x'),
  'a status beyond the usual': (_, response) => response.writeHead(799).end('x'),
  'an error status': (_, response) => response.writeHead(503, { 'retry-after': '1' }).end('busy'),
  'an empty status text': (_, response) => response.writeHead(200, '').end('x'),
  '204': (_, response) => response.writeHead(204).end(),
  '205': (_, response) => response.writeHead(205, { 'content-length': '0' }).end(),
  '304': (_, response) => response.writeHead(304, { etag: '"a"' }).end(),
  '300': (_, response) => response.writeHead(300, { location: '/else' }).end('choose'),
  'headers that come twice': (_, response) => {
    response.writeHead(200, ['x-a', '1', 'X-A', '2', 'set-cookie', 'a=1; Path=/', 'Set-Cookie', 'b=2', 'x-empty', '']).end('x')
  },
  'headers beyond ASCII': (_, response) => response.setHeader('x-a', 'Ä€'.slice(0, 1)).end('x'),
  'many headers': (_, response) => {
    for (let i = 0; i < 200; i++) response.setHeader(`x-header-${i}`, 'v'.repeat(50))
    response.end('x')
  },
  '1xx before the answer': (_, response) => {
    response.writeProcessing()
    response.writeEarlyHints({ link: '</style.css>; rel=preload' })
    response.end('after')
  },
  trailers: (_, response) => {
    response.writeHead(200, { trailer: 'x-sum', 'transfer-encoding': 'chunked' })
    response.write('body')
    response.addTrailers({ 'x-sum': '1' })
    response.end()
  },
}

for (const [name, answer] of Object.entries(answers)) {
  test(`reads ${name} as Node’s fetch does`, async (t) => {
    await same(t, async (site) => {
      site.answer = answer
      return described(await site.fetch(site.origin))
    })
  })

  test(`reads ${name} of a HEAD as Node’s fetch does`, async (t) => {
    await same(t, async (site) => {
      site.answer = answer
      return described(await site.fetch(site.origin, { method: 'HEAD' }))
    })
  })
}

/** What a caller may do with a response to `{"a":1}` of type JSON. */
const uses: Record<string, (response: Response, site: Site) => unknown> = {
  'as text': (response) => response.text(),
  'as JSON': (response) => response.json(),
  'as a buffer': async (response) => {
    const buffer = await response.arrayBuffer()
    return [Object.prototype.toString.call(buffer), Buffer.from(buffer).toString()]
  },
  'as bytes': async (response) => {
    const bytes = await (response as Response & { bytes(): Promise<Uint8Array> }).bytes()
    return [bytes.constructor.name, bytes.byteOffset, bytes.buffer.byteLength, Buffer.from(bytes).toString()]
  },
  'as a blob': async (response) => {
    const blob = await response.blob()
    return [blob.constructor.name, blob.type, blob.size, await blob.text()]
  },
  'as a form, which it is not': (response) => failureOf(response.formData()),
  twice: async (response) => [await response.text(), await failureOf(response.text()), await failureOf(response.json())],
  'twice at once': (response) => Promise.allSettled([response.text(), response.json().catch(failure)]),
  'as a blob and then as text': async (response) => [(await response.blob()).size, await failureOf(response.text())],
  'as a stream': async (response) => {
    const chunks = []
    for await (const chunk of response.body ?? [])
      chunks.push(Object.prototype.toString.call(chunk), Buffer.from(chunk).toString())
    return [chunks, response.bodyUsed, await failureOf(response.text())]
  },
  'as a stream with buffers of the reader’s own': async (response) => {
    const reader = body(response).getReader({ mode: 'byob' })
    const first = await reader.read(new Uint8Array(3))
    const second = await reader.read(new Uint8Array(100))
    const last = await reader.read(new Uint8Array(8))
    const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString()
    return [text(first.value), text(second.value), last.done, last.value?.byteLength]
  },
  'through a pipe': async (response) => {
    const chunks = []
    for await (const chunk of body(response).pipeThrough(new TextDecoderStream())) chunks.push(chunk)
    return chunks.join('')
  },
  'after a look at the body': async (response) => {
    const { body: first } = response
    return [first === response.body, response.bodyUsed, await response.json()]
  },
  'after a look at the body that was read': async (response) => {
    await response.text()
    const { locked } = body(response)
    return [locked, response.bodyUsed, await failureOf(body(response).cancel())]
  },
  'with a reader that let go': async (response) => {
    body(response).getReader().releaseLock()
    return [response.bodyUsed, await response.text()]
  },
  'while a reader holds it': async (response) => {
    body(response).getReader()
    return [response.bodyUsed, await failureOf(response.text()), await cloneFailure(response)]
  },
  'after a cancel': async (response) => {
    await body(response).cancel()
    return [response.bodyUsed, await failureOf(response.text()), await cloneFailure(response)]
  },
  'as two': async (response) => {
    const twin = response.clone()
    const { status, url, type, redirected } = twin
    const texts = [await twin.text(), await response.text()]
    return [
      status,
      url,
      type,
      redirected,
      texts,
      twin.headers === response.headers,
      [...twin.headers].length,
      twin instanceof Response,
    ]
  },
  'as three': async (response) => {
    const second = response.clone()
    const third = second.clone()
    return Promise.all([response.text(), second.json(), third.text()])
  },
  'as two streams': async (response) => {
    const twin = response.clone()
    return Promise.all([new Response(twin.body).text(), new Response(response.body).text()])
  },
  'as two after it was read': async (response) => {
    await response.text()
    return cloneFailure(response)
  },
  'in a response of the caller’s': async (response) => {
    const other = new Response(response.body, response)
    return [other.status, other.headers.get('content-type'), await other.json(), response.bodyUsed]
  },
  'as the body of the next request': async (response, site) => {
    site.answer = (request, answer) => request.pipe(answer)
    return (await site.fetch(site.origin, { method: 'POST', body: response.body, duplex: 'half' })).text()
  },
  'by type': (response) => [
    response instanceof Response,
    Object.prototype.toString.call(response),
    response.constructor === Response,
    Object.keys(response),
    enumerable(response),
    response.headers instanceof Headers,
    response.headers.constructor === Headers,
    Object.prototype.toString.call(response.headers),
    Object.prototype.toString.call(response.body),
  ],
  'by its picture': (response) =>
    [inspect(response), inspect(response.headers)].map((picture) => picture.replaceAll(/date: '.*'/g, 'date')),
  'by its descriptors': (response) =>
    ['status', 'text', 'body', 'clone'].map((name) => name in response && !Object.hasOwn(response, name)),
  'to set what can’t be set': (response) => {
    const errors = []
    for (const name of ['status', 'ok', 'url', 'headers', 'body', 'bodyUsed']) {
      try {
        Object.assign(response, { [name]: 1 })
      } catch (error) {
        errors.push(error instanceof TypeError)
      }
    }
    return errors
  },
  'to change headers': (response) => {
    const { headers } = response
    const changes = [() => headers.set('a', 'b'), () => headers.append('a', 'b'), () => headers.delete('date')]
    return changes.map((change) => {
      try {
        return change()
      } catch (error) {
        return failure(error)
      }
    })
  },
  'to look up headers': (response) => {
    const { headers } = response
    return [
      headers === response.headers,
      headers.get('Content-Type'),
      headers.has('none'),
      headers.get('none'),
      headers.getSetCookie(),
    ]
  },
  'to copy headers': (response) => {
    const copy = new Headers(response.headers)
    copy.set('x', 'y')
    return [copy.get('x'), copy.get('content-type')]
  },
  'to clone its structure': (response) => {
    try {
      return structuredClone(response)
    } catch (error) {
      return failure(error)
    }
  },
}

for (const [name, use] of Object.entries(uses)) {
  test(`can be used ${name} like that of Node’s fetch`, async (t) => {
    await same(t, async (site) => {
      site.answer = (_, response) => response.setHeader('content-type', 'application/json; charset=utf-8').end('{"a":1}')
      return use(await site.fetch(site.origin), site)
    })
  })
}

function body(response: Response): ReadableStream<Uint8Array> {
  assert.ok(response.body)
  return response.body
}

function enumerable(response: Response): string[] {
  const names = []
  for (const name in response) names.push(name)
  return names.sort()
}

async function cloneFailure(response: Response): Promise<unknown> {
  try {
    return response.clone()
  } catch (error) {
    return failure(error)
  }
}

for (const [type, text] of [
  ['multipart/form-data; boundary=b', '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'],
  ['application/x-www-form-urlencoded', 'a=1&b=%C3%A4'],
  ['multipart/form-data; boundary=b', 'not a form'],
]) {
  test(`reads a form of ${type} as Node’s fetch does: ${text?.length} characters`, async (t) => {
    await same(t, async (site) => {
      site.answer = (_, response) => response.setHeader('content-type', type as string).end(text)
      const response = await site.fetch(site.origin)
      return response.formData().then((form) => [form.constructor.name, [...form]], failure)
    })
  })
}

for (const text of ['', 'not JSON', '{"a":', 'null', '\ufeff{"a":1}']) {
  test(`reads ${JSON.stringify(text)} as JSON as Node’s fetch does`, async (t) => {
    await same(t, async (site) => {
      site.answer = (_, response) => response.end(text)
      const response = await site.fetch(site.origin)
      return response.json().catch(failure)
    })
  })
}

test('keeps answering where there is no body, however often it is asked', async (t) => {
  await same(t, async (site) => {
    site.answer = (_, response) => response.writeHead(204).end()
    const response = await site.fetch(site.origin)
    const twice = [await response.text(), await response.text(), await response.json().catch(failure)]
    const twin = response.clone()
    return [twice, response.body, response.bodyUsed, twin.body, await twin.text(), (await twin.arrayBuffer()).byteLength]
  })
})
