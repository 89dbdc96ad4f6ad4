import type { experimental } from '@grpc/grpc-js'

/** What comes with a message: flags, and whom to tell that there is room for another. */
export type MessageContext = Parameters<experimental.CallStream['sendMessageWithContext']>[0]

interface Entry {
  readonly message: Buffer
  readonly context: MessageContext
  /** The application knows that it may write another. */
  told: boolean
}

/** Several messages are kept up to this size together, in bytes; one alone, of any size, is in memory anyway. */
const KEPT_BYTES = 64 * 1024

/** What the application has written so far, kept for as long as it may have to be sent once more. */
export class Outbox {
  /** The application has written its last message. */
  finished = false
  /** Everything from the first message on is still here. */
  complete = true
  #committed = false
  #entries: Entry[] = NONE
  /** The number of the first entry. */
  #first = 0
  #bytes = 0

  /** How many messages the application has written. */
  get length(): number {
    return this.#first + this.#entries.length
  }

  /** The application has written its last message, and all that it wrote stays until the server answers: attempts can send it side by side. */
  get whole(): boolean {
    return this.finished && this.complete && !this.#committed && !this.#overflows
  }

  get #overflows(): boolean {
    return this.length > 1 && this.#bytes > KEPT_BYTES
  }

  push(context: MessageContext, message: Buffer): void {
    const entry = { message, context, told: false }
    // as a rule there is but one at a time: an array that grows makes room for 17
    if (this.#entries.length === 0) this.#entries = [entry]
    else this.#entries.push(entry)
    this.#bytes += message.length
  }

  /** @param number from 0; what was dropped must not be asked for */
  at(number: number): Entry | undefined {
    return this.#entries[number - this.#first]
  }

  /** The transport has taken this message: the application may write another. Tells it once, however often the message is sent. */
  taken(number: number): void {
    const entry = this.at(number)
    if (this.#committed || this.#overflows) this.#drop(number + 1)
    if (entry !== undefined) tell(entry)
  }

  /** The server has begun to answer: nothing is sent a second time, so the first `taken` messages may go. */
  commit(taken: number): void {
    this.#committed = true
    this.#drop(taken)
  }

  /** The call is over: whoever waits to write is let go. */
  release(): void {
    const entries = this.#entries
    this.complete = false
    if (entries.length === 0) return
    this.#entries = NONE
    for (const entry of entries) tell(entry)
  }

  #drop(end: number): void {
    const count = end - this.#first
    if (count <= 0) return
    this.complete = false
    this.#first = end
    const dropped = count === this.#entries.length ? this.#entries : this.#entries.splice(0, count)
    if (dropped === this.#entries) this.#entries = NONE
    for (let i = 0; i < dropped.length; i++) this.#bytes -= (dropped[i] as Entry).message.length
  }
}

/** Never written to. */
const NONE: Entry[] = []

function tell(entry: Entry): void {
  if (entry.told) return
  entry.told = true
  entry.context.callback?.()
}
