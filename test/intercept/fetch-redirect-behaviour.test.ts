import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import test from 'node:test'
import { described, echo, failure, type Site, same } from '../support/compare-fetch.ts'

/** `/to/<status>?<location>` redirects, the rest echoes. */
function redirecting(request: IncomingMessage, response: ServerResponse): void {
  const [, status, location] = /^\/to\/(\d+)\?(.*)$/.exec(request.url ?? '') ?? []
  if (status === undefined || location === undefined) return echo(request, response)
  request.resume().on('end', () => response.writeHead(Number(status), { location: decodeURIComponent(location) }).end('moved'))
}

async function outcome(site: Site, path: string, init?: RequestInit): Promise<unknown> {
  site.answer = redirecting
  return site.fetch(site.origin + path, init).then(described, failure)
}

const bodies: Record<string, () => RequestInit> = {
  GET: () => ({}),
  HEAD: () => ({ method: 'HEAD' }),
  POST: () => ({ method: 'POST', body: 'text', headers: { 'Content-Language': 'de', 'x-a': '1' } }),
  'POST without body': () => ({ method: 'POST' }),
  PUT: () => ({ method: 'PUT', body: Buffer.from('bytes') }),
  DELETE: () => ({ method: 'DELETE' }),
  'POST of a stream': () => ({ method: 'POST', body: new Blob(['stream']).stream(), duplex: 'half' }),
  'POST of a form': () => ({ method: 'POST', body: new URLSearchParams('a=1') }),
}

for (const status of [301, 302, 303, 307, 308]) {
  for (const [name, init] of Object.entries(bodies)) {
    test(`follows a ${status} of a ${name} as Node’s fetch does`, async (t) => {
      await same(t, (site) => outcome(site, `/to/${status}?/there`, init()), name === 'PUT' ? 7 : 0)
    })
  }
  for (const redirect of ['manual', 'error'] as const) {
    test(`treats a ${status} in mode ${redirect} as Node’s fetch does`, async (t) => {
      await same(t, (site) => outcome(site, `/to/${status}?/there`, { redirect }))
    })
  }
}

const locations: Record<string, (site: Site) => string> = {
  'a path': () => '/there?a=b',
  'a relative path': () => 'there/../here',
  'only a query': () => '?x',
  nothing: () => '',
  'the whole URL': (site) => `${site.origin}/there`,
  'without scheme': (site) => `${site.origin.replace('http:', '')}/there`,
  'a fragment': () => '/there#part',
  'bytes beyond ASCII': () => encodeURIComponent('/ä'),
  'another name of the host': (site) => site.origin.replace('127.0.0.1', 'localhost'),
  'no URL': () => 'http://',
  'another scheme': () => 'ftp://x/',
  data: () => 'data:text/plain,x',
  'a script': () => 'javascript:alert(1)',
  credentials: (site) => site.origin.replace('//', '//user:pass@'),
  'a blocked port': () => 'http://127.0.0.1:6667/',
  'nobody listening': () => 'http://127.0.0.1:2/',
}

for (const [name, location] of Object.entries(locations)) {
  test(`follows to ${name} as Node’s fetch does`, async (t) => {
    await same(
      t,
      (site) => outcome(site, `/to/302?${encodeURIComponent(location(site))}`, { headers: { 'x-a': '1' } }),
      name === 'nothing' ? 7 : 0,
    )
  })
}

test('reads a location in bytes beyond ASCII as Node’s fetch does', async (t) => {
  await same(t, async (site) => {
    site.answer = (request, response) => {
      if (request.url !== '/') return echo(request, response)
      response.socket?.end(Buffer.from('HTTP/1.1 302 Found\r\nlocation: /ä/€\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'))
    }
    return site.fetch(site.origin).then(described, failure)
  })
})

test('goes by the only location: none, or two, are as for Node’s fetch', async (t) => {
  for (const headers of [[], ['location', '/a', 'location', '/b']]) {
    await same(t, async (site) => {
      site.answer = (request, response) => {
        if (request.url !== '/') return echo(request, response)
        response.writeHead(302, headers).end('moved')
      }
      return site.fetch(site.origin).then(described, failure)
    })
  }
})

for (const to of ['127.0.0.1', 'localhost']) {
  test(`sends secrets on to ${to} only as Node’s fetch does`, async (t) => {
    await same(t, (site) => {
      const headers = { authorization: 'Bearer x', cookie: 'a=b', 'Proxy-Authorization': 'y', 'x-a': '1' }
      return outcome(site, `/to/307?${encodeURIComponent(site.origin.replace('127.0.0.1', to))}`, { headers })
    })
  })
}

test('keeps type cors after it has come back', async (t) => {
  const seen = await same(t, (site) => {
    const back = `${site.origin.replace('127.0.0.1', 'localhost')}/to/302?${encodeURIComponent(site.origin)}`
    return outcome(site, `/to/302?${encodeURIComponent(back)}`)
  })

  assert.equal((seen as { type: string }).type, 'cors')
})

for (const [hops, name] of [
  [20, 'follows twenty redirects'],
  [21, 'gives up at the twenty-first redirect'],
] as const) {
  test(`${name} as Node’s fetch does`, async (t) => {
    await same(t, async (site) => {
      let asked = 0
      site.answer = (_, response) => {
        asked++
        if (asked > hops) response.end('at last')
        else response.writeHead(302, { location: `/${asked}` }).end()
      }
      return [await site.fetch(site.origin).then(described, failure), asked]
    })
  })
}

test('does not wait for the body of a redirect', async (t) => {
  await same(t, async (site) => {
    site.answer = (request, response) => {
      if (request.url !== '/') return echo(request, response)
      response.writeHead(302, { location: '/there' }).write('never ends')
    }
    return site.fetch(site.origin).then(described, failure)
  })
})

test('keeps the connection across a redirect', async (t) => {
  await same(t, async (site) => {
    await outcome(site, '/to/302?/there')
    return site.server.accepted()
  })
})

test('ends at the signal on whichever hop', async (t) => {
  await same(t, async (site) => {
    const controller = new AbortController()
    site.answer = (request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/there' }).end()
      else controller.abort(new Error('enough'))
    }
    return site.fetch(site.origin, { signal: controller.signal }).then(described, failure)
  })
})
