/** A prefix: whether the message is compressed, and its length in four bytes. */
const PREFIX_BYTES = 5

/** The frames can't be told apart any more: the stream is of no more use. */
export class FramingError extends Error {}

/**
 * Puts gRPC messages together from the pieces in which they arrive. Holds at most one message, whose memory is taken when its length is
 * known, so that a sender of single bytes costs no more.
 */
export class GrpcMessages {
  readonly #maxBytes: number
  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixFilled = 0
  #body: Buffer = Buffer.alloc(0)
  #bodyFilled = 0

  /** @param maxBytes the longest message that is taken */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether the last piece ended inside a message. */
  get inside(): boolean {
    return this.#prefixFilled > 0
  }

  /**
   * Takes the next piece.
   *
   * @param onMessage gets each message that is now whole
   * @throws FramingError for a message that is too long or compressed (which nobody asked for)
   */
  push(piece: Buffer, onMessage: (message: Buffer) => void): void {
    let at = 0
    for (;;) {
      if (this.#prefixFilled < PREFIX_BYTES) {
        const end = Math.min(piece.length, at + PREFIX_BYTES - this.#prefixFilled)
        this.#prefixFilled += piece.copy(this.#prefix, this.#prefixFilled, at, end)
        at = end
        if (this.#prefixFilled < PREFIX_BYTES) return
        this.#begin()
      }
      const end = Math.min(piece.length, at + this.#body.length - this.#bodyFilled)
      this.#bodyFilled += piece.copy(this.#body, this.#bodyFilled, at, end)
      at = end
      if (this.#bodyFilled < this.#body.length) return
      this.#prefixFilled = 0
      onMessage(this.#body)
    }
  }

  #begin(): void {
    if (this.#prefix[0] !== 0) throw new FramingError('sent a compressed message, which was not asked for')
    const length = this.#prefix.readUInt32BE(1)
    if (length > this.#maxBytes) throw new FramingError(`sent a message of ${length} bytes, at most ${this.#maxBytes} are taken`)
    this.#body = Buffer.allocUnsafeSlow(length)
    this.#bodyFilled = 0
  }
}
