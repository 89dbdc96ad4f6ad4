import { Dispatcher, Dispatcher1Wrapper } from 'undici'

/**
 * A dispatcher as the fetch built into this Node can use it, whichever shape its handlers are of. undici's own wrapper does
 * that, but keeps all such calls to HTTP/1.1 for the sake of WebSockets, so that a service that speaks HTTP/2 only would be out of
 * reach; fetch opens none, so the protocol is left to the dispatcher.
 */
export function fetchBridge(dispatcher: Dispatcher): Dispatcher {
  return new Dispatcher1Wrapper(new AnyProtocol(dispatcher))
}

class AnyProtocol extends Dispatcher {
  readonly #dispatcher: Dispatcher

  constructor(dispatcher: Dispatcher) {
    super()
    this.#dispatcher = dispatcher
  }

  override dispatch(options: Dispatcher.DispatchOptions & { allowH2?: boolean }, handler: Dispatcher.DispatchHandler): boolean {
    const { allowH2: _, ...rest } = options
    return this.#dispatcher.dispatch(rest, handler)
  }
}
