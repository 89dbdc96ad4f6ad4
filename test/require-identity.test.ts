import assert from 'node:assert/strict'
import http, { type RequestListener } from 'node:http'
import https from 'node:https'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { interceptors, request } from 'undici'
import type { Update } from '../src/core/discovery.ts'
import type { Address } from '../src/core/endpoint.ts'
import type { Identity, IdentitySourceFactory } from '../src/core/identity.ts'
import { requiredIdentities } from '../src/core/identity-requirement.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type HedgePolicy, type Mesh, type MeshError, type MeshOptions, requireIdentity } from '../src/index.ts'
import { answer } from './support/grpc-engine.ts'
import { serveGrpc } from './support/grpc-servers.ts'
import { type Answer, Trial } from './support/grpc-trial.ts'
import { grpcMeshed, identityOf, serveMeshed, VOTING, WEB } from './support/meshed.ts'
import { cleanup, serve } from './support/servers.ts'

const EMOJI = 'spiffe://cluster.local/ns/emojivoto/sa/emoji'

/** A way to call `http://voting`, or another host. Rejects with the MeshError, or an error that holds its text. */
interface Door {
  readonly name: string
  /** A server in the mesh's TLS, or in plaintext without an identity. */
  serve(t: TestContext, identity?: Identity): Promise<{ readonly port: number; readonly calls: () => number }>
  call(t: TestContext, mesh: Mesh, host: string): () => Promise<unknown>
}

async function serveHttp(t: TestContext, identity?: Identity) {
  let calls = 0
  const listener: RequestListener = (_request, response) => {
    calls++
    // outside of the mesh, nobody would close it
    response.setHeader('connection', 'close').end('voted')
  }
  const { port } = await (identity === undefined ? serve(t, listener) : serveMeshed(t, identity, listener))
  return { port, calls: () => calls }
}

const get = (url: string, options: https.RequestOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    const asked = (url.startsWith('https:') ? https : http).get(url, options, (response) => response.resume().on('end', resolve))
    asked.on('error', reject)
  })

const client = (t: TestContext, host: string, options: grpc.ClientOptions) => {
  const made = new Trial(host, grpc.credentials.createInsecure(), options)
  cleanup(t, () => made.close())
  return () => answer<Answer>((done) => made.ask({}, done))
}

async function serveGrpcCalls(t: TestContext, identity?: Identity) {
  const server = await serveGrpc(t, identity === undefined ? {} : { credentials: grpcMeshed(identity) })
  return { port: server.port, calls: () => server.calls.ask ?? 0 }
}

const DOORS: readonly Door[] = [
  {
    name: 'undici',
    serve: serveHttp,
    call:
      (_, { dispatcher }, host) =>
      async () =>
        (await request(`http://${host}/`, { dispatcher })).body.text(),
  },
  { name: 'mesh.fetch', serve: serveHttp, call: (_, mesh, host) => async () => (await mesh.fetch(`http://${host}/`)).text() },
  {
    name: "mesh.fetch by way of Node's own",
    serve: serveHttp,
    call: (_, mesh, host) => async () => (await mesh.fetch(new Request(`http://${host}/`))).text(),
  },
  {
    name: 'node:http',
    serve: serveHttp,
    call:
      (_, { httpAgent: agent }, host) =>
      () =>
        get(`http://${host}/`, { agent }),
  },
  { name: 'grpc-js', serve: serveGrpcCalls, call: (t, mesh, host) => client(t, host, mesh.grpc() as grpc.ClientOptions) },
]

const fixed =
  (identity: Identity): IdentitySourceFactory =>
  () => ({
    watch(onUpdate) {
      queueMicrotask(() => onUpdate({ identity }))
      return () => {}
    },
  })

function meshTo(t: TestContext, addresses: readonly Address[], options: MeshOptions = {}): Mesh {
  const services = { voting: { discovery: staticEndpoints(addresses), breaker: 'off' as const } }
  const mesh = createMesh({ identity: fixed(identityOf(WEB)), services, implicitServices: false, ...options })
  cleanup(t, () => mesh.close())
  return mesh
}

const at = (port: number, identity?: string): Address => ({
  host: '127.0.0.1',
  port,
  ...(identity === undefined ? {} : { identity }),
})

/** The mesh's word on it, however the library at the door wraps it. */
function says(text: RegExp, code = 'INMESH_IDENTITY'): (error: Error & { code?: unknown; details?: string }) => true {
  return (error) => {
    if (error.details === undefined) {
      const { cause } = error
      const own = (cause instanceof Error ? cause : error) as MeshError
      assert.equal(own.code, code)
      assert.match(own.message, text)
    } else {
      assert.equal(error.code, grpc.status.UNAVAILABLE)
      assert.match(error.details, text)
    }
    return true
  }
}

for (const door of DOORS) {
  describe(`a requirement on a call through ${door.name}`, () => {
    test('is met by an endpoint that proves what is required', async (t) => {
      const server = await door.serve(t, identityOf(VOTING))
      const call = door.call(t, meshTo(t, [at(server.port, VOTING)]), 'voting')

      await requireIdentity([EMOJI, VOTING], call)

      assert.equal(server.calls(), 1)
    })

    test('fails with what is required and what is there, nothing sent, and does not bind other calls', async (t) => {
      const server = await door.serve(t, identityOf(VOTING))
      const call = door.call(t, meshTo(t, [at(server.port, VOTING)]), 'voting')

      await assert.rejects(
        requireIdentity(EMOJI, call),
        says(new RegExp(`no endpoint proves .* 127.0.0.1:${server.port} proves ${VOTING}; required: ${EMOJI}`)),
      )
      assert.equal(server.calls(), 0)

      await call()
      assert.equal(server.calls(), 1)
    })

    test('passes over endpoints in plaintext and of others', async (t) => {
      const [good, other, plain] = [
        await door.serve(t, identityOf(VOTING)),
        await door.serve(t, identityOf(EMOJI)),
        await door.serve(t),
      ]
      const call = door.call(t, meshTo(t, [at(plain.port), at(good.port, VOTING), at(other.port, EMOJI)]), 'voting')

      for (let i = 0; i < 12; i++) await requireIdentity(VOTING, call)

      assert.deepEqual([good.calls(), other.calls(), plain.calls()], [12, 0, 0])
    })

    test('is not met in plaintext', async (t) => {
      const server = await door.serve(t)
      const call = door.call(t, meshTo(t, [at(server.port)]), 'voting')

      await assert.rejects(requireIdentity(VOTING, call), says(/127.0.0.1:\d+ proves none; required/))

      assert.equal(server.calls(), 0)
    })

    test('is not met by a host outside of the mesh', async (t) => {
      const server = await door.serve(t)
      const call = door.call(t, meshTo(t, []), `127.0.0.1:${server.port}`)

      await assert.rejects(requireIdentity(VOTING, call), says(/not the mesh's, and so prove no identity; required/))

      assert.equal(server.calls(), 0)
    })

    test('is not met by a process without identity', async (t) => {
      const server = await door.serve(t)
      const call = door.call(t, meshTo(t, [at(server.port, VOTING)], { identity: 'off' }), 'voting')

      await assert.rejects(requireIdentity(VOTING, call), says(/this process has no identity/))

      assert.equal(server.calls(), 0)
    })
  })
}

describe('a requirement', () => {
  test('asks for all that a service of several identities may prove', async (t) => {
    const server = await serveHttp(t, identityOf(VOTING))
    const discovery = staticEndpoints([at(server.port)])
    const mesh = meshTo(t, [], { services: { voting: { discovery, mtls: { identities: [VOTING, EMOJI] } } } })

    await assert.rejects(
      requireIdentity(VOTING, () => mesh.request('http://voting/')),
      says(new RegExp(`proves ${VOTING} or ${EMOJI}; required: ${VOTING}$`)),
    )
    await requireIdentity([EMOJI, VOTING, WEB], async () => (await mesh.request('http://voting/')).body.dump())

    assert.equal(server.calls(), 1)
  })

  test('holds beside the one around it', async (t) => {
    const server = await serveHttp(t, identityOf(VOTING))
    const mesh = meshTo(t, [at(server.port, VOTING)])
    const call = async () => (await mesh.request('http://voting/')).body.dump()

    await requireIdentity([EMOJI, VOTING], () => requireIdentity([VOTING, WEB], call))
    await assert.rejects(
      requireIdentity(EMOJI, () => requireIdentity(VOTING, call)),
      says(/required: none at all/),
    )
  })

  test('is not met by TLS of the application’s own', async (t) => {
    const mesh = meshTo(t, [at(1, VOTING)])

    await assert.rejects(
      requireIdentity(VOTING, () => mesh.fetch('https://voting/')),
      says(/TLS of its own proves no identity/),
    )
    await assert.rejects(
      requireIdentity(VOTING, () => get('https://voting/', { agent: mesh.httpsAgent })),
      says(/TLS of its own/),
    )
    const secure = new Trial('voting', grpc.credentials.createSsl(), mesh.grpc() as grpc.ClientOptions)
    cleanup(t, () => secure.close())
    await assert.rejects(
      requireIdentity(VOTING, () => answer<Answer>((done) => secure.ask({}, done))),
      says(/TLS of its own/),
    )
  })

  test('refuses calls of clients that have nothing but the interceptor', async (t) => {
    const server = await serveGrpcCalls(t)
    const mesh = meshTo(t, [at(server.port)])
    for (const service of ['voting', 'outside.example']) {
      const interceptors = [mesh.grpcInterceptor(service)]
      const made = new Trial(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure(), { interceptors })
      cleanup(t, () => made.close())

      await assert.rejects(
        requireIdentity(VOTING, () => answer<Answer>((done) => made.ask({}, done))),
        says(/not the mesh's/),
      )
    }
    assert.equal(server.calls(), 0)
  })

  test('does not bind the discovery that the first call begins', async (t) => {
    const server = await serveHttp(t, identityOf(VOTING))
    const asked: (string | undefined)[] = []
    const discovery = () => ({
      watch(_service: string, onUpdate: (update: Update) => void) {
        setImmediate(() => {
          asked.push(requiredIdentities()?.join())
          onUpdate({ addresses: [at(server.port, VOTING)] })
        })
        return () => {}
      },
    })
    const mesh = meshTo(t, [], { services: { voting: { discovery } } })

    await requireIdentity(VOTING, async () => (await mesh.request('http://voting/')).body.dump())

    assert.deepEqual(asked, [undefined])
  })

  test('counts as a call that was refused', async (t) => {
    const mesh = meshTo(t, [at(1)])

    await assert.rejects(requireIdentity(VOTING, () => mesh.request('http://voting/')))

    assert.match(mesh.prometheus(), /mesh_client_calls_total\{[^}]*mesh_reason="refused"[^}]*\} 1/)
  })

  test('is a list of SPIFFE IDs, or an error', () => {
    for (const bad of ['voting', [], ['spiffe://UPPER/x'], Array(101).fill(VOTING), undefined, [1]])
      assert.throws(() => requireIdentity(bad as never, () => assert.fail()), { code: 'INMESH_CONFIG' })
    assert.equal(
      requireIdentity(VOTING, () => 7),
      7,
    )
  })
})

test('a call that requires an identity is hedged only to endpoints that prove it', async (t) => {
  const plain = await serveHttp(t)
  let calls = 0
  const slow = await serveMeshed(t, identityOf(VOTING), (_request, response) => {
    if (++calls === 2) response.end('voted')
  })
  const quick = await serveMeshed(t, identityOf(VOTING), (_request, response) => {
    if (++calls === 2) response.end('voted')
  })
  const discovery = staticEndpoints([at(plain.port), at(slow.port, VOTING), at(quick.port, VOTING)])
  const mesh = meshTo(t, [], { services: { voting: { discovery, hedge: () => ALWAYS } } })

  await requireIdentity(VOTING, async () => (await mesh.request('http://voting/')).body.dump())

  assert.deepEqual([calls, plain.calls()], [2, 0])
})

/** One hedge, as soon as may be. */
const ALWAYS: HedgePolicy = {
  covers: () => true,
  delayMs: (attempts) => (attempts === 1 ? 1 : -1),
  withdraw: () => true,
  observe() {},
}

describe('a requirement and connections that other calls have made', () => {
  async function redirecting(t: TestContext) {
    const plain = await serveHttp(t)
    const voting = await serveMeshed(t, identityOf(VOTING), (message, response) => {
      if (message.url === '/away') response.writeHead(302, { location: `http://127.0.0.1:${plain.port}/` })
      response.end('voted')
    })
    const mesh = meshTo(t, [at(voting.port, VOTING)])
    const dispatcher = mesh.dispatcher.compose(interceptors.redirect({ maxRedirections: 1 }))
    const calls = [
      async (path: string) => (await mesh.fetch(`http://voting${path}`)).text(),
      async (path: string) => (await request(`http://voting${path}`, { dispatcher })).body.text(),
    ]
    return { plain, calls, mesh }
  }

  test('it holds for where a call is redirected to, though nobody required anything when the connection was made', async (t) => {
    const { plain, calls } = await redirecting(t)
    for (const call of calls) {
      await Promise.all([call('/'), call('/'), call('/')])

      for (let i = 0; i < 5; i++)
        await assert.rejects(
          requireIdentity(VOTING, () => call('/away')),
          says(/not the mesh's/),
        )
    }
    assert.equal(plain.calls(), 0)
  })

  test('it does not stay with a connection that was made under it', async (t) => {
    const { plain, calls } = await redirecting(t)
    for (const call of calls) {
      await requireIdentity(VOTING, () => Promise.all([call('/'), call('/'), call('/')]))

      for (let i = 0; i < 5; i++) await call('/away')
    }
    assert.equal(plain.calls(), 10)
  })

  test('it is there in what is called back by node:http, and there alone', async (t) => {
    const { plain, mesh } = await redirecting(t)
    const { httpAgent: agent } = mesh
    const twice = () =>
      new Promise<void>((resolve, reject) => {
        http
          .get('http://voting/', { agent }, (response) => {
            response.resume().on('end', () => get(`http://127.0.0.1:${plain.port}/`, { agent }).then(resolve, reject))
          })
          .on('error', reject)
      })

    await assert.rejects(requireIdentity(VOTING, twice), says(/not the mesh's/))
    await twice()
    await assert.rejects(requireIdentity(VOTING, twice), says(/not the mesh's/))
    await twice()

    assert.equal(plain.calls(), 2)
  })
})
