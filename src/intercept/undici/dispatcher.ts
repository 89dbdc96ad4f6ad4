import { Dispatcher, Dispatcher1Wrapper } from 'undici'
import type { Runtime } from '../../core/clock.ts'
import { requiredIdentities, unprovenOutside } from '../../core/identity-requirement.ts'
import { closedError } from '../call-errors.ts'
import type { DoorParts } from '../door-parts.ts'
import { Destination } from './destination.ts'
import { Exchange, type ExchangeOwner } from './exchange.ts'

/** Origins remembered, ours or not; beyond it they are forgotten one by one, so that a crawler's calls cost bounded memory. */
const MAX_ORIGINS = 1_000

/** What the undici door is made of. */
export interface DispatcherParts extends DoorParts {
  /** Where calls go that are not ours; stays open when the mesh closes. */
  readonly outside: Dispatcher
}

/**
 * The door for everything undici: `request`, `stream`, `pipeline`, `upgrade`, `connect`, its fetch and Node's own. A call to one of our
 * services becomes an exchange; any other goes to `outside` untouched.
 */
export class MeshDispatcher extends Dispatcher implements ExchangeOwner {
  readonly name: string
  readonly runtime: Runtime
  readonly #parts: DispatcherParts
  readonly #destinations = new Map<string, Destination | null>()
  readonly #exchanges = new Set<Exchange>()
  /** Destinations that were forgotten and have connections yet. */
  readonly #forgotten = new Set<Destination>()
  #legacy: Dispatcher | undefined
  #closed: Promise<void> | undefined
  #drained: (() => void) | undefined
  #awaitsDrain = false

  constructor(parts: DispatcherParts) {
    super()
    this.name = parts.name
    this.runtime = parts.runtime
    this.#parts = parts
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    // the fetch built into Node 22 and 24, and undici 7, hand over handlers of the old shape
    if (typeof handler?.onRequestStart !== 'function') return this.#dispatchLegacy(options, handler)
    const destination = this.#destination(options)
    if (destination === null) return this.#dispatchOutside(options, handler)
    if (this.#closed !== undefined) {
      handler.onResponseError?.(null as never, closedError('mesh is closed'))
      return false
    }
    const exchange = new Exchange(this, destination, options, handler)
    this.#exchanges.add(exchange)
    exchange.start()
    return true
  }

  /** Who is told to wait listens to this dispatcher. */
  #dispatchOutside(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const required = requiredIdentities()
    if (required !== undefined) {
      const { origin } = options
      handler.onResponseError?.(null as never, unprovenOutside(String(origin instanceof URL ? origin.origin : origin), required))
      return true
    }
    const { outside } = this.#parts
    const free = outside.dispatch(options, handler)
    if (!free && !this.#awaitsDrain) {
      this.#awaitsDrain = true
      outside.once('drain', (origin) => {
        this.#awaitsDrain = false
        this.emit('drain', origin)
      })
    }
    return free
  }

  #dispatchLegacy(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#legacy ??= new Dispatcher1Wrapper(this)
    return this.#legacy.dispatch(options, handler)
  }

  #destination(options: Dispatcher.DispatchOptions): Destination | null {
    const origin = options?.origin
    if (!origin) return null // undici's to complain of
    const h1 = (options as { allowH2?: boolean }).allowH2 === false
    const text = typeof origin === 'string' ? origin : origin.origin
    const key = h1 ? `${text}#http1` : text
    const known = this.#destinations.get(key)
    const destination = known === undefined || known?.table.forgotten ? this.#find(key, text, h1) : known
    if (destination === null) this.#parts.egress(text)
    return destination
  }

  #find(key: string, text: string, h1: boolean): Destination | null {
    this.#destinations.delete(key)
    const destination = this.#make(text, h1)
    if (this.#destinations.size >= MAX_ORIGINS) this.#forgetOldest()
    this.#destinations.set(key, destination)
    return destination
  }

  #make(text: string, h1: boolean): Destination | null {
    if (!URL.canParse(text)) return null
    const origin = new URL(text)
    const secure = origin.protocol === 'https:'
    const table = secure || origin.protocol === 'http:' ? this.#parts.router.table(origin.host, secure) : undefined
    if (table === undefined) return null
    const options = this.#parts.connection(table)
    return new Destination(origin, table, h1 ? { ...options, allowH2: false } : options, this.runtime.clock)
  }

  /** Those that are not ours go first: they cost a look-up, ours their connections. */
  #forgetOldest(): void {
    let oldest: string | undefined
    for (const [key, destination] of this.#destinations) {
      oldest ??= key
      if (destination !== null) continue
      this.#destinations.delete(key)
      return
    }
    const destination = this.#destinations.get(oldest as string) as Destination
    this.#destinations.delete(oldest as string)
    this.#forgotten.add(destination)
    destination.close().then(() => this.#forgotten.delete(destination))
  }

  exchangeEnded(exchange: Exchange): void {
    this.#exchanges.delete(exchange)
    if (this.#exchanges.size === 0) this.#drained?.()
  }

  /** Refuses new calls to services, finishes those in flight, then closes every connection. */
  override close(): Promise<void>
  override close(callback: () => void): void
  override close(callback?: () => void): Promise<void> | undefined {
    this.#closed ??= this.#drain()
    if (callback === undefined) return this.#closed
    this.#closed.then(callback)
    return undefined
  }

  async #drain(): Promise<void> {
    if (this.#exchanges.size > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
    await Promise.all(this.#all().map((destination) => destination.close()))
    this.#destinations.clear()
  }

  /** Fails what is in flight and closes every connection at once. */
  override destroy(error?: Error | null): Promise<void>
  override destroy(error: Error | null, callback: () => void): void
  override destroy(callback: () => void): void
  override destroy(first?: Error | null | (() => void), second?: () => void): Promise<void> | undefined {
    const callback = typeof first === 'function' ? first : second
    const destroyed = this.#destroy(first instanceof Error ? first : closedError('mesh is destroyed'))
    if (callback === undefined) return destroyed
    destroyed.then(callback)
    return undefined
  }

  async #destroy(error: Error): Promise<void> {
    this.#closed ??= this.#drain()
    for (const exchange of [...this.#exchanges]) exchange.destroy(error)
    await Promise.all(this.#all().map((destination) => destination.destroy(error)))
    await this.#closed
  }

  #all(): Destination[] {
    return [...this.#destinations.values(), ...this.#forgotten].filter((destination) => destination !== null)
  }
}
