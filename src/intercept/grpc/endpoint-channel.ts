import {
  Channel,
  type ChannelCredentials,
  type ChannelInterface,
  type ChannelOptions,
  connectivityState as State,
} from '@grpc/grpc-js'

/** Who hears of a channel. */
export interface ChannelListener {
  /** Its state is another one. */
  changed(): void
  /** It lost the connection over which calls went, and gets no other. */
  lost(): void
}

/** grpc-js's own channel to one endpoint, watched. */
export class EndpointChannel {
  readonly channel: ChannelInterface
  /** How often it got a connection. */
  connections = 0
  /** Calls were made since it got the connection that it has. */
  used = false
  #state: State = State.IDLE
  #redialling = false
  readonly #listener: ChannelListener

  constructor(target: string, credentials: ChannelCredentials, options: ChannelOptions, listener: ChannelListener) {
    this.channel = new DirectChannel(target, credentials, options)
    this.#listener = listener
    this.#watch()
  }

  get connected(): boolean {
    return this.#state === State.READY
  }

  get state(): State {
    return this.#state
  }

  /** Begins to connect, unless it has a connection or is at it. */
  connect(): void {
    this.channel.getConnectivityState(true)
  }

  /** Finishes what is in flight; what waits for a connection fails as never sent. */
  close(): void {
    if (this.#state !== State.SHUTDOWN) this.channel.close()
  }

  #watch(): void {
    this.channel.watchConnectivityState(this.#state, Number.POSITIVE_INFINITY, this.#look)
  }

  readonly #look = (): void => {
    this.#state = this.channel.getConnectivityState(false)
    if (this.#state !== State.SHUTDOWN) this.#watch()
    this.#heed(this.#state)
    this.#listener.changed()
  }

  /**
   * A server that sends GOAWAY, as one that drains or is just restarting does, or that is gone, is dialled anew at once and not with the
   * next call: if it doesn't answer, the others take its calls before any fails.
   */
  #heed(state: State): void {
    if (state === State.READY) {
      this.connections++
      this.used = false
      this.#redialling = false
    } else if (state === State.IDLE && this.used) {
      this.used = false
      this.#redialling = true
      // grpc-js has not finished what it is just doing
      process.nextTick(() => this.#redialling && this.connect())
    } else if (state === State.TRANSIENT_FAILURE && this.#redialling) {
      this.#redialling = false
      this.#listener.lost()
    } else if (state === State.SHUTDOWN) this.#redialling = false
  }
}

/** A class of our own, since auto-inject meshes whatever is made as `new Channel()`; those that extend it are left alone. */
class DirectChannel extends Channel {}
