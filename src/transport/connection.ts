import { Client, type Dispatcher } from 'undici'

/** A request handler that wants to know on which connection it travels. */
export interface Passenger {
  connection: Connection | undefined
}

/** One connection of an endpoint, and how often its present socket was used: what the keep-alive race is recognised by. */
export class Connection extends Client {
  /** Answers read on the present socket; above 0 it is a reused one. */
  served = 0
  /** When the last of them ended, in monotonic milliseconds. */
  idleSince = 0
  /** Requests given to the connection and not finished. */
  busy = 0

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    ;(handler as Partial<Passenger>).connection = this
    this.busy++
    return super.dispatch(options, handler)
  }

  /** A request was answered to its end. Exactly one of `answered` and `failed` a request. */
  answered(now: number): void {
    this.busy--
    this.served++
    this.idleSince = now
  }

  /** A request failed, most often together with its socket: nothing can be learnt from what comes after. */
  failed(): void {
    this.busy--
    this.served = 0
  }
}
