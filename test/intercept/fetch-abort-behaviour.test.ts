import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import test from 'node:test'
import { described, failure, failureOf, type Site, same } from '../support/compare-fetch.ts'

const reasons: Record<string, [reason?: unknown]> = {
  'no reason': [],
  'an error': [new RangeError('enough')],
  'a text': ['enough'],
  null: [null],
}

for (const [name, reason] of Object.entries(reasons)) {
  const aborted = () => {
    const controller = new AbortController()
    return { signal: controller.signal, abort: () => controller.abort(...reason) }
  }

  test(`sends nothing when the signal is aborted before, with ${name}`, async (t) => {
    await same(t, async (site) => {
      const { signal, abort } = aborted()
      abort()
      return [await failureOf(site.fetch(site.origin, { signal })), site.server.accepted()]
    })
  })

  test(`ends at once when the signal is aborted right after the call, with ${name}`, async (t) => {
    await same(t, (site) => {
      const { signal, abort } = aborted()
      const promise = site.fetch(site.origin, { signal })
      abort()
      return failureOf(promise)
    })
  })

  test(`hangs up when the signal is aborted while it waits for the answer, with ${name}`, async (t) => {
    await same(t, async (site) => {
      const { signal, abort } = aborted()
      const hungUp = new Promise((resolve) => {
        site.answer = (request) => {
          request.on('close', resolve)
          abort()
        }
      })
      const outcome = await failureOf(site.fetch(site.origin, { signal }))
      await hungUp
      return outcome
    })
  })

  test(`fails whoever reads the body when the signal is aborted, with ${name}`, async (t) => {
    for (const read of ['text', 'json', 'arrayBuffer', 'blob', 'formData'] as const) {
      await same(t, async (site) => {
        const { signal, abort } = aborted()
        const response = await started(site, { signal })
        const outcome = failureOf(response[read]())
        abort()
        return [await outcome, response.bodyUsed]
      })
    }
  })

  test(`fails a stream in the middle when the signal is aborted, with ${name}`, async (t) => {
    await same(t, async (site) => {
      const { signal, abort } = aborted()
      const response = await started(site, { signal })
      const reader = body(response).getReader()
      const first = await reader.read()
      abort()
      return [Buffer.from(first.value ?? []).toString(), await failureOf(reader.read()), await failureOf(reader.closed)]
    })
  })

  test(`takes a body away that has arrived and was not read, with ${name}`, async (t) => {
    await same(
      t,
      async (site) => {
        const { signal, abort } = aborted()
        const response = await site.fetch(site.origin, { signal })
        abort()
        return [await failureOf(response.text()), response.status]
      },
      7,
    )
  })
}

/** A response whose body has begun and does not end. */
async function started(site: Site, init: RequestInit): Promise<Response> {
  site.answer = (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).write('begun')
  return site.fetch(site.origin, init)
}

function body(response: Response): ReadableStream<Uint8Array> {
  assert.ok(response.body)
  return response.body
}

test('does not mind a signal that is aborted when all was read', async (t) => {
  await same(t, async (site) => {
    const controller = new AbortController()
    const response = await site.fetch(site.origin, { signal: controller.signal })
    const seen = await described(response)
    controller.abort()
    return [seen, response.bodyUsed]
  })
})

test('does not mind a signal that is aborted when there is no body', async (t) => {
  await same(
    t,
    async (site) => {
      const controller = new AbortController()
      site.answer = (_, response) => response.writeHead(204).end()
      const response = await site.fetch(site.origin, { signal: controller.signal })
      controller.abort()
      return response.text()
    },
    7,
  )
})

test('fails both halves of a clone when the signal is aborted', async (t) => {
  await same(t, async (site) => {
    const controller = new AbortController()
    const response = await started(site, { signal: controller.signal })
    const both = Promise.all([failureOf(response.text()), failureOf(response.clone().text())].reverse())
    controller.abort()
    return both
  }).catch((error: unknown) => assert.match(String(error), /already been consumed/))
  await same(t, async (site) => {
    const controller = new AbortController()
    const response = await started(site, { signal: controller.signal })
    const twin = response.clone()
    const both = Promise.all([failureOf(response.text()), failureOf(twin.text())])
    controller.abort()
    return both
  })
})

test('tells a time-out from an abort', async (t) => {
  await same(t, async (site) => {
    site.answer = () => {}
    return failureOf(site.fetch(site.origin, { signal: AbortSignal.timeout(1) }))
  })
})

test('hangs up when the caller cancels the stream', async (t) => {
  for (const reason of [undefined, new Error('enough'), 'enough']) {
    await same(t, async (site) => {
      let answer: ServerResponse | undefined
      site.answer = (_, response) => {
        answer = response
        response.write('begun')
      }
      const response = await site.fetch(site.origin)
      assert.ok(answer)
      const hungUp = once(answer, 'close')
      const outcome = await body(response).cancel(reason).catch(failure)
      await hungUp
      return [outcome, response.bodyUsed, await failureOf(response.text())]
    })
  }
})

test('hangs up when the caller leaves a loop over the stream', async (t) => {
  await same(t, async (site) => {
    let hungUp: Promise<unknown> | undefined
    site.answer = (_, response) => {
      hungUp = once(response, 'close')
      response.write('begun')
    }
    const response = await site.fetch(site.origin)
    for await (const chunk of body(response)) {
      assert.equal(Buffer.from(chunk).toString(), 'begun')
      break
    }
    await hungUp
    return response.bodyUsed
  })
})
