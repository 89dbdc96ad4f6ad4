import { Dispatcher, Dispatcher1Wrapper } from 'undici'

/** For calls that nobody can abort. */
const NEVER = new AbortController().signal

/**
 * A dispatcher as the fetch built into this Node can use it, whichever shape its handlers are of. undici's own wrapper does
 * that, but keeps all such calls to HTTP/1.1 for the sake of WebSockets, so that a service that speaks HTTP/2 only would be out of
 * reach; fetch opens none, so the protocol is left to the dispatcher.
 *
 * @param signal the caller's: named with the call, so that it can be told who aborts, the caller or a body that fails
 */
export function fetchBridge(dispatcher: Dispatcher, signal: AbortSignal = NEVER): Dispatcher {
  return new Dispatcher1Wrapper(new AnyProtocol(dispatcher, signal))
}

class AnyProtocol extends Dispatcher {
  readonly #dispatcher: Dispatcher
  readonly #signal: AbortSignal

  constructor(dispatcher: Dispatcher, signal: AbortSignal) {
    super()
    this.#dispatcher = dispatcher
    this.#signal = signal
  }

  override dispatch(options: Dispatcher.DispatchOptions & { allowH2?: boolean }, handler: Dispatcher.DispatchHandler): boolean {
    const { allowH2: _, ...rest } = options
    return this.#dispatcher.dispatch(Object.assign(rest, { signal: this.#signal }), handler)
  }
}
