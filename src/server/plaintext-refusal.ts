import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'

const TEXT = 'this port takes TLS only: call it with https, or through the mesh\n'

/** How long the refusal has to arrive, in milliseconds; then the connection is destroyed. */
const PARTING_MS = 1_000

/** SETTINGS without a setting, then GOAWAY: no stream was served, INADEQUATE_SECURITY (RFC 9113, 6.5, 6.8, 7). */
const HTTP2_REFUSAL = Buffer.concat([
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 8 + TEXT.length, 7, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 0, 0, 0, 0, 0, 0x0c]),
  Buffer.from(TEXT),
])
const HTTP1_REFUSAL = Buffer.from(
  `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${TEXT.length}\r\n\r\n${TEXT}`,
)
const HTTP2_PREFACE = 'PRI * HTTP/2.0'

/** Ends a plaintext connection, in words if it speaks HTTP. */
export function refusePlaintext(socket: Duplex, bytes: Buffer, clock: Clock): void {
  socket.on('error', () => {})
  const answer = refusalFor(bytes.toString('latin1', 0, 24))
  if (answer === undefined) {
    socket.destroy()
    return
  }
  const timer = clock.after(PARTING_MS, () => socket.destroy())
  socket.on('close', () => timer.cancel())
  // What is left unread when a connection closes makes TCP reset it, and the answer is lost.
  socket.resume()
  socket.end(answer)
  socket.on('end', () => socket.destroy())
}

function refusalFor(start: string): Buffer | undefined {
  if (start.startsWith(HTTP2_PREFACE)) return HTTP2_REFUSAL
  return /^[A-Z]{3,16} /.test(start) ? HTTP1_REFUSAL : undefined
}
