import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../core/clock.ts'
import { IdleTimeout } from '../../transport/idle-timeout.ts'

/** How long an unused connection is kept at most, in milliseconds (that of Node's `globalAgent`). */
const KEEP_MS = 5_000
/** A connection retires so long before the server would close it, in milliseconds (as in Node's agent). */
const BUFFER_MS = 1_000
/** How often it is looked which connections are idle, in milliseconds. */
const LOOK_EVERY_MS = 250

/**
 * Closes the idle connections to one endpoint before the server does, so that no request is sent into a closing one (the keep-alive
 * race): after what its `Keep-Alive` header says, or after what it was seen to do, or after five seconds.
 *
 * It looks at intervals and costs a request one comparison. Node's own timers would cost each read and write one, are late when the
 * process stood still, and know only what the server says.
 */
export class IdleSockets {
  /** When a request is to look before it takes a connection, in monotonic milliseconds: the timer is late. */
  lookAt = 0
  readonly #free: Readonly<Record<string, readonly Socket[] | undefined>>
  readonly #clock: Clock
  readonly #learnt = new IdleTimeout()
  #saidMs = Number.POSITIVE_INFINITY
  /** Those that were idle at the last look. */
  #seen = new Map<Socket, { readonly bytesWritten: number; readonly since: number }>()
  #lookedAt = 0
  #open = 0
  #timer: Timer | undefined

  /** @param free an agent's `freeSockets` */
  constructor(free: Readonly<Record<string, readonly Socket[] | undefined>>, clock: Clock) {
    this.#free = free
    this.#clock = clock
  }

  /** How many connections there are, idle or not. */
  get open(): number {
    return this.#open
  }

  /** A connection was made. */
  opened(): void {
    this.#open++
    if (this.#timer !== undefined) return
    this.#lookedAt = this.#clock.now()
    this.#timer = this.#clock.after(LOOK_EVERY_MS, this.#tick)
  }

  /** A connection was closed; to be told before the agent forgets it. */
  closed(socket: Socket): void {
    this.#open--
    if (this.#open === 0) {
      this.#timer?.cancel()
      this.#timer = undefined
    }
    const idle = this.#seen.get(socket)
    if (idle === undefined || !this.#isFree(socket)) return
    const now = this.#clock.now()
    this.#learnt.saw(now - idle.since, now)
  }

  /** The first answer on a connection said `Keep-Alive`, or nothing. */
  heard(keepAlive: string | undefined): void {
    const seconds = keepAlive === undefined ? undefined : /^timeout=(\d{1,9})/.exec(keepAlive)?.[1]
    this.#saidMs = seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1_000 - BUFFER_MS
  }

  /**
   * A request was reset on a connection that had been kept, before any of the answer came.
   *
   * @param usedAt when it took the connection, in monotonic milliseconds
   */
  resetOnReuse(socket: Socket, usedAt: number): void {
    const idle = this.#seen.get(socket)
    if (idle !== undefined) this.#learnt.saw(usedAt - idle.since, this.#clock.now())
  }

  /** Takes note of who is idle, and closes those that were for long enough. */
  look(now: number): void {
    const before = this.#seen
    this.#seen = new Map()
    // It may be used just before the next look.
    const retireMs = Math.min(KEEP_MS, this.#saidMs, this.#learnt.retireMs) - LOOK_EVERY_MS
    for (const socket of this.#idle()) {
      const { bytesWritten } = socket
      const known = before.get(socket)
      // One that is new here may have been idle ever since the last look.
      const idle = known !== undefined && known.bytesWritten === bytesWritten ? known : { bytesWritten, since: this.#lookedAt }
      if (now - idle.since > retireMs) socket.destroy()
      else this.#seen.set(socket, idle)
    }
    this.#lookedAt = now
    this.lookAt = now + LOOK_EVERY_MS
  }

  readonly #tick = (): void => {
    this.look(this.#clock.now())
    this.#timer = this.#clock.after(LOOK_EVERY_MS, this.#tick)
  }

  /** Closes all that are idle. */
  close(): void {
    // Our own doing: nothing is learnt from it.
    this.#seen.clear()
    for (const socket of this.#idle()) socket.destroy()
  }

  #idle(): Socket[] {
    return Object.values(this.#free).flatMap((sockets) => sockets ?? [])
  }

  #isFree(socket: Socket): boolean {
    return Object.values(this.#free).some((sockets) => sockets?.includes(socket))
  }
}
