import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'

/** How long a connection may stay silent, in milliseconds: as long as Node's own servers wait for the first head. It costs a socket, no more. */
const SILENT_MS = 60_000

/**
 * Waits for the first bytes of a connection, and leaves them where they were: whoever gets it then reads it from its beginning. A connection
 * that stays silent for a minute is destroyed; one that fails or ends without a byte is let go.
 *
 * @param done is called once, with a view of what has come; never after `stop`
 * @returns stop: destroys the connection if it is still silent
 */
export function firstBytes(socket: Duplex, clock: Clock, done: (bytes: Buffer) => void): () => void {
  const over = () => {
    timer.cancel()
    socket.off('readable', readable)
    socket.off('end', stop)
    socket.off('error', ignored)
    socket.off('close', over)
  }
  const stop = () => {
    if (socket.destroyed) return
    over()
    socket.on('error', ignored)
    socket.destroy()
  }
  const readable = () => {
    const bytes: Buffer | null = socket.read()
    if (bytes === null) return
    over()
    socket.unshift(bytes)
    done(bytes)
  }
  const timer = clock.after(SILENT_MS, stop)
  socket.on('readable', readable)
  // The other end has left, and wants nothing.
  socket.on('end', stop)
  socket.on('error', ignored)
  socket.on('close', over)
  return stop
}

function ignored(): void {}
