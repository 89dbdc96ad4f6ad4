import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../core/clock.ts'
import { CONNECT_FAILED, CONNECT_TIMEOUT, type Verdict } from '../../core/verdict.ts'
import type { Handshake, HandshakeOutcome } from '../../transport/handshake.ts'

/** How a connection came about, or not. */
export interface ConnectOutcome {
  /** There is a socket, which may not be connected yet. */
  opened(socket: Socket): void
  connected(socket: Socket): void
  failed(error: Error, verdict: Verdict): void
}

/**
 * Waits until a socket is connected, the TLS handshake included. Runs per connection, not per request.
 *
 * @param name the endpoint, for the error
 * @param timeoutMs for both together, in milliseconds
 * @param outcome is told once, unless the returned function was called before
 * @returns gives up and destroys the socket
 */
export function awaitConnection(
  socket: Socket,
  ready: 'connect' | 'secureConnect',
  name: string,
  timeoutMs: number,
  clock: Clock,
  outcome: ConnectOutcome,
): () => void {
  const timer = clock.after(timeoutMs, () => fail(connectTimeout(name, timeoutMs), CONNECT_TIMEOUT))
  const onReady = () => {
    stop()
    outcome.connected(socket)
  }
  const onError = (error: Error) => fail(error, CONNECT_FAILED)
  const onClose = () => fail(new Error(`connection to ${name} closed before it was ready`), CONNECT_FAILED)
  const stop = () => {
    timer.cancel()
    socket.off(ready, onReady).off('error', onError).off('close', onClose)
  }
  const giveUp = () => {
    stop()
    // What it may still say interests nobody, but must not end the process.
    socket.on('error', () => {}).destroy()
  }
  const fail = (error: Error, verdict: Verdict) => {
    giveUp()
    outcome.failed(error, verdict)
  }
  socket.on(ready, onReady).on('error', onError).on('close', onClose)
  outcome.opened(socket)
  return giveUp
}

/**
 * The same for a connection that the mesh secures.
 *
 * @param dial begins it
 * @returns gives up; undefined when it has failed already
 */
export function awaitSecured(
  dial: (outcome: HandshakeOutcome) => Handshake,
  name: string,
  timeoutMs: number,
  clock: Clock,
  outcome: ConnectOutcome,
): (() => void) | undefined {
  let timer: Timer | undefined
  const handshake = dial({
    opened: (socket) => outcome.opened(socket),
    secured: (socket) => {
      timer?.cancel()
      outcome.connected(socket)
    },
    failed: (error) => {
      timer?.cancel()
      outcome.failed(error, CONNECT_FAILED)
    },
  })
  if (handshake.over) return undefined
  if (timeoutMs > 0)
    timer = clock.after(timeoutMs, () => outcome.failed(connectTimeout(name, timeoutMs, handshake.expire()), CONNECT_TIMEOUT))
  return () => {
    timer?.cancel()
    handshake.giveUp()
  }
}

/** Like the operating system's own, which takes two minutes. */
function connectTimeout(name: string, timeoutMs: number, waitedFor = ''): Error {
  const error = new Error(`connect ETIMEDOUT ${name} after ${timeoutMs} ms${waitedFor === '' ? '' : `: ${waitedFor}`}`)
  return Object.assign(error, { code: 'ETIMEDOUT', syscall: 'connect' })
}
