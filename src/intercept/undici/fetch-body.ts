/** A request body that can be sent any number of times. */
export interface RequestBody {
  readonly payload: string | Buffer
  /** The `content-type` that goes with it when the caller names none; undefined for bytes. */
  readonly type: string | undefined
}

/**
 * Takes the body of a fetch that is text or bytes. Bytes are copied: the caller may reuse them at once.
 *
 * @returns undefined for streams, forms, blobs, empty bodies and whatever else must first be turned into bytes
 */
export function requestBody(body: unknown): RequestBody | undefined {
  if (typeof body === 'string') return body === '' ? undefined : { payload: body, type: 'text/plain;charset=UTF-8' }
  const bytes = copyOf(body)
  if (bytes !== undefined) return bytes.length === 0 ? undefined : { payload: bytes, type: undefined }
  if (!(body instanceof URLSearchParams) || body.size === 0) return undefined
  return { payload: body.toString(), type: 'application/x-www-form-urlencoded;charset=UTF-8' }
}

function copyOf(body: unknown): Buffer | undefined {
  if (body instanceof Uint8Array) return isFixed(body.buffer) ? Buffer.from(body) : undefined
  if (body instanceof ArrayBuffer) return isFixed(body) ? Buffer.from(new Uint8Array(body)) : undefined
  return undefined
}

/** Memory that others may resize or write to is refused by fetch; it says so itself. */
function isFixed(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && !buffer.resizable && !buffer.detached
}
