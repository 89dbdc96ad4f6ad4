import net from 'node:net'
import type { TestContext } from 'node:test'
import { cleanup } from '../../support/servers.ts'

/** A client that sends what it is told, well-formed or not, and keeps what it gets. */
export interface RawClient {
  readonly socket: net.Socket
  /** All that came so far. */
  readonly text: () => string
  /** Resolves once `pattern` has come; rejects when the connection closes without it. */
  readonly got: (pattern: RegExp) => Promise<void>
  readonly closed: Promise<void>
}

export async function rawClient(t: TestContext, port: number, send = ''): Promise<RawClient> {
  const socket = net.connect(port, '127.0.0.1')
  cleanup(t, () => socket.destroy())
  let text = ''
  const looking = new Set<() => void>()
  const look = () => {
    for (const one of looking) one()
  }
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    look()
  })
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  if (send !== '') socket.write(send)

  const got = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const one = () => {
        if (!pattern.test(text)) return
        looking.delete(one)
        resolve()
      }
      looking.add(one)
      void closed.then(() => reject(new Error(`closed without ${pattern}, got ${JSON.stringify(text.slice(0, 200))}`)))
      one()
    })
  return { socket, text: () => text, got, closed }
}
