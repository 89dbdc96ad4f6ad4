import { Channel, type ChannelCredentials, type ChannelInterface, type ChannelOptions, status as Status } from '@grpc/grpc-js'
import { requiredIdentities, unprovenOutside } from '../../core/identity-requirement.ts'

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
    const created = super.createCall(...call)
    const required = requiredIdentities()
    return required === undefined ? created : refused(created, unprovenOutside(this.getTarget(), required).message)
  }
}

type Created = ReturnType<ChannelInterface['createCall']>

/** A call that is over before it starts, as its listener then hears; without one, nobody would. */
function refused(call: Created, why: string): Created {
  const { start } = call
  call.start = (metadata, listener) => {
    call.cancelWithStatus(Status.UNAVAILABLE, why)
    start.call(call, metadata, listener)
  }
  return call
}
