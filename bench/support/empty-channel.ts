import type { Channel, ChannelInterface, InterceptingListener, Metadata, StatusObject } from '@grpc/grpc-js'

type GrpcCall = ReturnType<ChannelInterface['createCall']>

/**
 * A channel that only passes on: over others in turn, with an object of its own for each call and for who listens to it, as whoever wants
 * to choose an endpoint and learn how the call ended must have. The least that a layer between a client and grpc-js costs.
 */
export class EmptyChannel implements ChannelInterface {
  readonly #channels: readonly Channel[]
  #turn = 0

  constructor(channels: readonly Channel[]) {
    this.#channels = channels
  }

  get #first(): Channel {
    return this.#channels[0] as Channel
  }

  createCall(...[path, deadline, host, parent, flags]: Parameters<ChannelInterface['createCall']>): GrpcCall {
    const channel = this.#channels[this.#turn++ % this.#channels.length] as Channel
    return new PassedCall(channel.createCall(path, deadline, host, parent, flags))
  }

  close(): void {
    for (const channel of this.#channels) channel.close()
  }

  getTarget(): string {
    return this.#first.getTarget()
  }

  getConnectivityState(tryToConnect: boolean): ReturnType<ChannelInterface['getConnectivityState']> {
    return this.#first.getConnectivityState(tryToConnect)
  }

  watchConnectivityState(...parameters: Parameters<ChannelInterface['watchConnectivityState']>): void {
    this.#first.watchConnectivityState(...parameters)
  }

  getChannelzRef(): ReturnType<ChannelInterface['getChannelzRef']> {
    return this.#first.getChannelzRef()
  }
}

class PassedCall implements GrpcCall {
  readonly #call: GrpcCall

  constructor(call: GrpcCall) {
    this.#call = call
  }

  start(metadata: Metadata, listener: InterceptingListener): void {
    this.#call.start(metadata, new PassingListener(listener))
  }

  sendMessageWithContext(context: Parameters<GrpcCall['sendMessageWithContext']>[0], message: Buffer): void {
    this.#call.sendMessageWithContext(context, message)
  }

  halfClose(): void {
    this.#call.halfClose()
  }

  startRead(): void {
    this.#call.startRead()
  }

  cancelWithStatus(...parameters: Parameters<GrpcCall['cancelWithStatus']>): void {
    this.#call.cancelWithStatus(...parameters)
  }

  setCredentials(...parameters: Parameters<GrpcCall['setCredentials']>): void {
    this.#call.setCredentials(...parameters)
  }

  getPeer(): string {
    return this.#call.getPeer()
  }

  getCallNumber(): number {
    return this.#call.getCallNumber()
  }

  getAuthContext(): ReturnType<GrpcCall['getAuthContext']> {
    return this.#call.getAuthContext()
  }
}

class PassingListener implements InterceptingListener {
  readonly #listener: InterceptingListener

  constructor(listener: InterceptingListener) {
    this.#listener = listener
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.#listener.onReceiveMetadata(metadata)
  }

  onReceiveMessage(message: Buffer): void {
    this.#listener.onReceiveMessage(message)
  }

  onReceiveStatus(status: StatusObject): void {
    this.#listener.onReceiveStatus(status)
  }
}
