import type { AsyncResource } from 'node:async_hooks'
import type { InterceptingListener, Metadata, StatusObject } from '@grpc/grpc-js'

/**
 * Listens in the caller's async context. For a call that waits until grpc-js has a connection, which then goes on in the context of whichever
 * call had it dialled; one that finds a connection stays in its own.
 */
export class ScopedListener implements InterceptingListener {
  readonly #listener: InterceptingListener
  readonly #scope: AsyncResource

  constructor(listener: InterceptingListener, scope: AsyncResource) {
    this.#listener = listener
    this.#scope = scope
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.#scope.runInAsyncScope(this.#listener.onReceiveMetadata, this.#listener, metadata)
  }

  onReceiveMessage(message: Buffer): void {
    this.#scope.runInAsyncScope(this.#listener.onReceiveMessage, this.#listener, message)
  }

  onReceiveStatus(status: StatusObject): void {
    this.#scope.runInAsyncScope(this.#listener.onReceiveStatus, this.#listener, status)
  }
}
