import { Channel, type ChannelCredentials, type ChannelInterface, type ChannelOptions } from '@grpc/grpc-js'

/** grpc-js's own channel to a target that is not ours, untouched but counted. */
export class OutsideChannel extends Channel {
  readonly #egress: () => void

  /** @param egress a call goes by */
  constructor(target: string, credentials: ChannelCredentials, options: ChannelOptions, egress: () => void) {
    super(target, credentials, options)
    this.#egress = egress
  }

  override createCall(...call: Parameters<ChannelInterface['createCall']>): ReturnType<ChannelInterface['createCall']> {
    this.#egress()
    return super.createCall(...call)
  }
}
