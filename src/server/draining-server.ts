import type { ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import type { Clock, Timer } from '../core/clock.ts'

/** Any of Node's servers; those of HTTP/1 can close their idle connections. */
export type Listening = Server & { closeIdleConnections?(): void }

/** A server whose connections are known, so that it can be emptied. */
export interface DrainingServer {
  /** Stops listening, closes what is idle, sends GOAWAY. Resolves when no connection is left. */
  close(clock: Clock): Promise<void>
  /** Destroys every connection. */
  cutOff(): void
  /** Lets go of the server. */
  forget(): void
}

/** How often connections that became idle are closed, in milliseconds. */
const SWEEP_MS = 50

/** Takes note of a server's connections and HTTP/2 sessions from now on. */
export function drainingServer(server: Listening): DrainingServer {
  const sockets = keep<Socket>(server, 'connection')
  const sessions = keep<ServerHttp2Session>(server, 'session')
  let sweeper: Timer | undefined

  const sweep = (clock: Clock): void => {
    server.closeIdleConnections?.()
    sweeper = clock.after(SWEEP_MS, () => sweep(clock))
  }
  const close = (clock: Clock): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => {
        sweeper?.cancel()
        resolve()
      })
      for (const session of sessions.open) session.close()
      sweep(clock)
    })
  const cutOff = (): void => {
    sweeper?.cancel()
    for (const socket of sockets.open) socket.destroy()
  }
  const forget = (): void => {
    sockets.stop()
    sessions.stop()
  }
  return { close, cutOff, forget }
}

interface Kept<T> {
  readonly open: ReadonlySet<T>
  readonly stop: () => void
}

function keep<T extends Socket | ServerHttp2Session>(server: Server, event: 'connection' | 'session'): Kept<T> {
  const open = new Set<T>()
  const add = (one: T): void => {
    open.add(one)
    one.once('close', () => open.delete(one))
  }
  server.on(event, add)
  return { open, stop: () => server.off(event, add) }
}
