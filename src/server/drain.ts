import { MeshError } from '../core/errors.ts'
import { durationMs, readOptions } from '../core/options.ts'
import { type DrainingServer, drainingServer, type Listening } from './draining-server.ts'
import { drainingGrpcServer, type ShutsDown } from './grpc-draining.ts'
import type { Reception } from './reception.ts'

export interface DrainOptions {
  /**
   * How long new requests are still accepted while callers learn that this process leaves, in milliseconds. Default 1000; where load balancers
   * learn late, as in Kubernetes, some 5000.
   */
  readonly noticeMs: number
  /** After how long in all what is still under way is cut off, in milliseconds, at least `noticeMs`. Default 25000: Kubernetes kills after 30 s. */
  readonly graceMs: number
}

/**
 * How a process stops serving without a failed request. One a mesh.
 *
 * - **serving -> leaving** at once: readiness says no; every answer says so (`x-envoy-immediate-health-check-fail`, and `Connection: close` over HTTP/1).
 *   All is still accepted and served.
 * - **after `noticeMs`**: servers stop listening; idle connections are closed, HTTP/2 sessions get GOAWAY; what is in flight goes on.
 * - **leaving -> left** when nothing is in flight and no connection is open, or after `graceMs`, when the rest is cut off.
 */
export class Drain {
  readonly #reception: Reception
  readonly #options: DrainOptions
  readonly #servers = new Map<Listening | ShutsDown, DrainingServer>()
  #drained: Promise<number> | undefined

  /** @throws MeshError INMESH_CONFIG */
  constructor(reception: Reception, options?: Partial<DrainOptions>) {
    const defaults = { noticeMs: 1_000, graceMs: 25_000 }
    this.#options = readOptions('drain', options, defaults, { noticeMs: durationMs, graceMs: durationMs })
    const { noticeMs, graceMs } = this.#options
    if (graceMs < noticeMs) {
      throw new MeshError('INMESH_CONFIG', `drain.graceMs: expected at least noticeMs, which is ${noticeMs}, got ${graceMs}`)
    }
    this.#reception = reception
  }

  /**
   * Takes a server into the drain: http, https, http2, net, or one of grpc-js. Best before it listens, since connections made earlier can't be cut off.
   *
   * @returns a function that takes it out again
   */
  watch(server: Listening | ShutsDown): () => void {
    if (!this.#servers.has(server)) {
      this.#servers.set(server, 'tryShutdown' in server ? drainingGrpcServer(server) : drainingServer(server))
    }
    return () => {
      this.#servers.get(server)?.forget()
      this.#servers.delete(server)
    }
  }

  /**
   * Drains. A second call joins the first.
   *
   * @returns how many requests were cut off; 0 when all were answered
   */
  drain(): Promise<number> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async #drain(): Promise<number> {
    const { noticeMs, graceMs } = this.#options
    this.#reception.state = 'leaving'
    await this.#wait(noticeMs)
    const servers = [...this.#servers.values()]
    const finished = Promise.all([...servers.map((server) => server.close(this.#reception.runtime.clock)), this.#idle()])
    await this.#atMost(graceMs - noticeMs, finished)
    const cutOff = this.#reception.inFlight
    this.#reception.state = 'left'
    for (const server of servers) server.cutOff()
    return cutOff
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#reception.runtime.clock.hold(ms, resolve))
  }

  #atMost(ms: number, finished: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#reception.runtime.clock.hold(ms, resolve)
      finished.then(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => void this.#reception.whenIdle(resolve))
  }
}

/**
 * Drains when the process is told to end, then lets the signal do what it does by default.
 *
 * @param drain what to wait for: `() => mesh.drain()`
 * @returns a function that stops listening
 */
export function drainOnSignal(drain: () => Promise<unknown>, signals: readonly NodeJS.Signals[] = ['SIGTERM']): () => void {
  const stop = (): void => {
    for (const signal of signals) process.off(signal, leave)
  }
  const leave = (signal: NodeJS.Signals): void => {
    void drain().finally(() => {
      stop()
      // others who listen decide themselves how the process ends
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
    })
  }
  for (const signal of signals) process.on(signal, leave)
  return stop
}
