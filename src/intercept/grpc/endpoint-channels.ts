import { type ChannelCredentials, type ChannelOptions, connectivityState as State } from '@grpc/grpc-js'
import type { Endpoint } from '../../core/endpoint.ts'
import { EndpointChannel } from './endpoint-channel.ts'
import { addressTarget, type Target } from './target.ts'

/** How many endpoints are dialled ahead of the first call, when the application asks for it. */
const AHEAD = 3

/** Who hears of the channels. */
export interface ChannelsListener {
  /** The state of them all may be another one. */
  changed(): void
  /** An endpoint in use lost its connection and gives no other. */
  lost(endpoint: Endpoint): void
}

/** One client's channels to the endpoints of its service. Those of clients with equal options share their connections, as grpc-js has it. */
export class EndpointChannels {
  readonly #channels = new Map<Endpoint, EndpointChannel>()
  readonly #credentials: ChannelCredentials
  readonly #options: ChannelOptions
  readonly #listener: ChannelsListener

  constructor(target: Target, credentials: ChannelCredentials, options: ChannelOptions, listener: ChannelsListener) {
    this.#credentials = credentials
    this.#options = channelOptions(target, credentials._isSecure(), options)
    this.#listener = listener
  }

  get(endpoint: Endpoint): EndpointChannel | undefined {
    return this.#channels.get(endpoint)
  }

  /** @param credentials in place of the application's */
  open(endpoint: Endpoint, credentials: ChannelCredentials = this.#credentials): EndpointChannel {
    const channel = new EndpointChannel(addressTarget(endpoint.address), credentials, this.#options, {
      changed: () => this.#listener.changed(),
      lost: () => this.#listener.lost(endpoint),
    })
    this.#channels.set(endpoint, channel)
    return channel
  }

  /** New calls to an endpoint go over a new connection, which is made at once; those on the one before finish there. */
  renew(endpoint: Endpoint, credentials: ChannelCredentials): void {
    const before = this.#channels.get(endpoint)
    if (before === undefined) return
    this.open(endpoint, credentials).connect()
    before.close()
  }

  /** The endpoint has left: calls on it finish. */
  drop(endpoint: Endpoint): void {
    const channel = this.#channels.get(endpoint)
    this.#channels.delete(endpoint)
    channel?.close()
    this.#listener.changed()
  }

  /** The endpoints that are worth dialling so that a first call need not wait; those that fail are passed over. */
  ahead(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    return endpoints.filter((endpoint) => this.#channels.get(endpoint)?.state !== State.TRANSIENT_FAILURE).slice(0, AHEAD)
  }

  /** Ready if any is, else connecting if any is, else failing if any is, else idle. */
  get state(): State {
    const states = new Set<State>()
    for (const channel of this.#channels.values()) states.add(channel.state)
    return BEST_FIRST.find((state) => states.has(state)) ?? State.IDLE
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
  }
}

const BEST_FIRST: readonly State[] = [State.READY, State.CONNECTING, State.TRANSIENT_FAILURE]

/**
 * The application's options, and what differs between dialling a service and dialling one of its endpoints. What it has set itself stays,
 * retries excepted.
 */
function channelOptions({ authority, host }: Target, secure: boolean, options: ChannelOptions): ChannelOptions {
  return {
    'grpc.default_authority': authority,
    ...(secure ? { 'grpc.ssl_target_name_override': host } : {}),
    // a proxy would find another endpoint
    'grpc.enable_http_proxy': 0,
    // no look-up of TXT records for each endpoint that has a name
    'grpc.service_config_disable_resolution': 1,
    // our breakers decide how long an endpoint is left alone; by default grpc-js would take up to two minutes to see that it is back
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    ...options,
    'grpc.enable_retries': 0,
  }
}
