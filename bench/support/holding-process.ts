/**
 * Run as a child process: makes connections as its first argument says, to a server at port, so many, each to another of the loopback's
 * addresses, and prints by how many KB each has made the process larger.
 */
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import { roundRobin } from '../../src/balancer/round-robin.ts'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { createMesh, type Mesh } from '../../src/index.ts'
import { files } from '../../src/tls/files.ts'

/** How the connections are made, and by whom held. */
export type Holder = 'socket' | 'node:tls' | 'mesh, plaintext' | 'mesh, mTLS'
/** Makes connections to the addresses and keeps them. */
type Hold = (hosts: readonly string[]) => Promise<unknown>

const WARM_UP = 100
const AT_ONCE = 8

const [holder, count, port, directory, identity] = process.argv.slice(2) as [Holder, string, string, string, string]
const held: unknown[] = []
const MAKE: Readonly<Record<Holder, () => Hold>> = {
  socket: () => each((host) => connected(net.connect(Number(port), host), 'connect')),
  'node:tls': bareTls,
  'mesh, plaintext': () => throughMesh({}),
  'mesh, mTLS': () => throughMesh({ identity }),
}

const hold = MAKE[holder]()
const hosts = Array.from({ length: Number(count) + WARM_UP }, (_, i) => `127.1.${i >> 8}.${i & 255}`)
await hold(hosts.slice(0, WARM_UP))
const before = await residentKb()
await hold(hosts.slice(WARM_UP))
const after = await residentKb()
console.log((after - before) / Number(count))
process.exit(held.length > 0 ? 0 : 1)

/** Collects before it looks: what is asked is what stays. */
async function residentKb(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 300))
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage.rss() / 1_024
}

function each(make: (host: string) => Promise<unknown>): Hold {
  return async (list) => {
    const left = [...list]
    const worker = async () => {
      for (let host = left.pop(); host !== undefined; host = left.pop()) held.push(await make(host))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }
}

function connected<S extends net.Socket>(socket: S, event: string): Promise<S> {
  return new Promise((resolve, reject) => socket.once(event, () => resolve(socket)).once('error', reject))
}

function bareTls(): Hold {
  const text = (file: string) => readFileSync(join(directory, file))
  const secureContext = tls.createSecureContext({
    cert: text('tls.crt'),
    key: text('tls.key'),
    ca: text('ca.crt'),
    ecdhCurve: 'X25519MLKEM768',
    minVersion: 'TLSv1.3',
  })
  const options = { port: Number(port), secureContext, ALPNProtocols: ['http/1.1'], checkServerIdentity: () => undefined }
  return each((host) => connected(tls.connect({ ...options, host }), 'secureConnect'))
}

/** Each group of endpoints is a service, of which each is called once. */
function throughMesh(known: { readonly identity?: string }): Hold {
  return async (list) => {
    const discovery = staticEndpoints(list.map((host) => ({ host, port: Number(port), ...known })))
    const mesh: Mesh = createMesh({
      name: 'bench',
      identity: files({ directory }),
      services: { bench: { discovery, balancer: roundRobin() } },
    })
    held.push(mesh)
    await each(async () => (await mesh.request('http://bench/')).body.text())(list)
  }
}
