import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import test from 'node:test'
import { described, failure, failureOf, readBody, type Site, same, sameRaw } from '../support/compare-fetch.ts'

test('hands over each piece as it comes', async (t) => {
  const seen = await same(t, async (site) => {
    const answer = heldAnswer(site)
    const response = await site.fetch(site.origin)
    const reader = body(response).getReader()
    const pieces = []
    for (const piece of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      const read = reader.read()
      ;(await answer).write(piece)
      pieces.push(Buffer.from((await read).value ?? []).toString())
    }
    ;(await answer).end()
    return [pieces, (await reader.read()).done, await reader.closed.then(() => 'closed')]
  })

  assert.deepEqual((seen as unknown[])[0], ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n'])
})

/** The server's response, its head sent, in the hands of the test. */
function heldAnswer(site: Site): Promise<ServerResponse> {
  return new Promise((resolve) => {
    site.answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      resolve(response)
    }
  })
}

function body(response: Response): ReadableStream<Uint8Array> {
  assert.ok(response.body)
  return response.body
}

const PIECE = Buffer.alloc(1 << 20, 'x')

/** Writes until the client stops taking, which it must, then as it takes on; answers how many bytes were written by then. */
async function fill(response: ServerResponse): Promise<number> {
  for (let written = PIECE.length; written < 64 * PIECE.length; written += PIECE.length) {
    response.write(PIECE)
    if (response.writableLength > 4 * PIECE.length) return written
    await new Promise(setImmediate)
  }
  throw new Error('the client takes everything')
}

test('stops the server while nobody reads, and goes on when somebody does', async (t) => {
  const seen = await same(t, async (site) => {
    const answer = heldAnswer(site)
    const response = await site.fetch(site.origin)
    const written = await fill(await answer)
    ;(await answer).end()
    const { length } = await response.text()
    return length === written
  })

  assert.equal(seen, true)
})

test('stops the server while the reader of a stream rests', async (t) => {
  const seen = await same(t, async (site) => {
    const answer = heldAnswer(site)
    const reader = body(await site.fetch(site.origin)).getReader()
    const first = reader.read()
    const written = await fill(await answer)
    ;(await answer).end()
    let length = (await first).value?.length ?? 0
    for (let next = await reader.read(); !next.done; next = await reader.read()) length += next.value.length
    return length === written
  })

  assert.equal(seen, true)
})

test('stops the server while one half of a clone rests', async (t) => {
  const seen = await same(t, async (site) => {
    const answer = heldAnswer(site)
    const response = await site.fetch(site.origin)
    const twin = response.clone()
    const written = await fill(await answer)
    ;(await answer).end()
    const lengths = await Promise.all([response.arrayBuffer(), twin.arrayBuffer()])
    return lengths.map(({ byteLength }) => byteLength === written)
  })

  assert.deepEqual(seen, [true, true])
})

test('streams both ways at once', async (t) => {
  const seen = await same(t, async (site) => {
    site.answer = (request, response) => request.pipe(response)
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const sent = writer.write(Buffer.from('1'))
    const response = await site.fetch(site.origin, { method: 'POST', body: readable, duplex: 'half' })
    const reader = body(response).getReader()
    const echoes = []
    for (const piece of ['2', '3']) {
      echoes.push(Buffer.from((await reader.read()).value ?? []).toString())
      await writer.write(Buffer.from(piece))
    }
    await writer.close()
    await sent
    for (let next = await reader.read(); !next.done; next = await reader.read()) echoes.push(Buffer.from(next.value).toString())
    return echoes.join('')
  })

  assert.equal(seen, '123')
})

test('fails with the error of a stream that is sent', async (t) => {
  await same(t, async (site) => {
    site.answer = (request, response) => readBody(request).then((text) => response.end(text), failure)
    const broken = new ReadableStream({
      pull(controller) {
        controller.error(new Error('broken'))
      },
    })
    return failureOf(site.fetch(site.origin, { method: 'POST', body: broken, duplex: 'half' }))
  })
})

test('reads an answer that comes before the whole request was sent', async (t) => {
  await same(t, async (site) => {
    site.answer = (_, response) => response.writeHead(413, { connection: 'close' }).end('too much')
    const response = await site.fetch(site.origin, { method: 'POST', body: 'x'.repeat(1 << 20) })
    return response.status
  })
})

/** What a server writes that then hangs up; `described` or the error is observed. */
const broken: Record<string, string> = {
  nothing: '',
  'half a head': 'HTTP/1.1 200 OK\r\ncontent-',
  'half a body': 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf',
  'no last chunk': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n',
  'a chunk that is none': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n',
  garbage: '\u0000\u0001garbage\r\n\r\n',
  'another protocol': 'SSH-2.0-OpenSSH_9.6\r\n',
  'a status that is none': 'HTTP/1.1 abc OK\r\n\r\n',
  'a head that is too long': `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(20_000)}\r\ncontent-length: 0\r\n\r\n`,
  'an upgrade nobody asked for': 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
  'no length at all': 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end',
  'an answer of HTTP/1.0': 'HTTP/1.0 200 OK\r\n\r\nold',
  'a body of a 204': 'HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody',
  'a body of a 205': 'HTTP/1.1 205 Reset Content\r\ncontent-length: 4\r\n\r\nbody',
  'a redirect that breaks off': 'HTTP/1.1 302 Found\r\nlocation: ftp://x/\r\ncontent-length: 10\r\n\r\nhalf',
  'half a body of gzip': 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n\u001f',
}

for (const [name, text] of Object.entries(broken)) {
  test(`tells a server’s ${name} as Node’s fetch does`, async (t) => {
    await sameRaw(
      t,
      (socket) => socket.once('data', () => socket.end(text, 'latin1')),
      (site) => site.fetch(site.origin).then(described, failure),
    )
  })

  test(`tells a server’s ${name} to the reader of a stream as Node’s fetch does`, async (t) => {
    await sameRaw(
      t,
      (socket) => socket.once('data', () => socket.end(text, 'latin1')),
      async (site) => {
        try {
          const response = await site.fetch(site.origin)
          return await new Response(response.body).text()
        } catch (error) {
          return failure(error)
        }
      },
    )
  })
}

test('tells a reset as Node’s fetch does, before and within the body', async (t) => {
  for (const text of ['', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf']) {
    await sameRaw(
      t,
      (socket) => socket.once('data', () => socket.write(text, () => socket.resetAndDestroy())),
      async (site) => {
        const outcome = await site.fetch(site.origin).then(described, failure)
        return JSON.parse(JSON.stringify(outcome), (key, value) => (key === 'message' ? undefined : value))
      },
    )
  }
})

test('fails when the dispatcher is closed, or destroyed in between', async (t) => {
  await same(t, async (site) => {
    const arrived = new Promise<void>((resolve) => {
      site.answer = () => resolve()
    })
    const outcome = failureOf(site.fetch(site.origin))
    await arrived
    for (const socket of site.server.connections) socket.destroy()
    return outcome
  })
})

test('reuses the connection when a body was read', async (t) => {
  const seen = await same(t, async (site) => {
    for (let i = 0; i < 3; i++) {
      await (await site.fetch(site.origin)).text()
      // The connection is free one turn later than the text is there.
      await new Promise(setImmediate)
    }
    return site.server.accepted()
  })

  assert.equal(seen, 1)
})

test('ends the server’s wait when its answer ends', async (t) => {
  await same(t, async (site) => {
    const answer = heldAnswer(site)
    const response = await site.fetch(site.origin)
    const finished = once(await answer, 'finish')
    ;(await answer).end('x')
    await finished
    return response.text()
  })
})
