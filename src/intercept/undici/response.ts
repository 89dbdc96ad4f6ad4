import { markAsUncloneable } from 'node:worker_threads'
import type { ResponseBody } from './response-body.ts'
import { type ReceivedHeaders, responseHeaders } from './response-headers.ts'
import type { UnreadResponses } from './response-unread.ts'

/** All of a response but its body. Shared by clones. */
export interface ResponseHead {
  readonly url: string
  readonly redirected: boolean
  /** `cors` once a redirect has left the origin. */
  readonly type: 'basic' | 'cors'
  readonly status: number
  readonly statusText: string
  readonly headers: ReceivedHeaders
}

/**
 * The answer to a mesh's fetch: a `Response` to whoever looks (`instanceof` too), whose headers and stream are made when somebody
 * asks for them. Costs some 0.1 us where a constructed `Response` with a stream costs 9.
 *
 * Its one difference: the private state that Node's own `Response` keeps is absent, so `Response.prototype.text.call(response)`
 * throws a TypeError; `response.text()` is the way.
 */
export class MeshResponse implements Response {
  readonly #head: ResponseHead
  readonly #body: ResponseBody | undefined
  readonly #unread: UnreadResponses
  #headers: Headers | undefined

  /**
   * @param body undefined for HEAD and the statuses that have none
   * @param unread sees to the body if the response is dropped
   */
  constructor(head: ResponseHead, body: ResponseBody | undefined, unread: UnreadResponses) {
    this.#head = head
    this.#body = body
    this.#unread = unread
    markAsUncloneable(this)
    if (body !== undefined) unread.add(this, body)
  }

  get type(): 'basic' | 'cors' {
    return this.#head.type
  }

  get url(): string {
    return this.#head.url
  }

  get redirected(): boolean {
    return this.#head.redirected
  }

  get status(): number {
    return this.#head.status
  }

  get ok(): boolean {
    return this.#head.status >= 200 && this.#head.status <= 299
  }

  get statusText(): string {
    return this.#head.statusText
  }

  get headers(): Headers {
    this.#headers ??= responseHeaders(this.#head.headers)
    return this.#headers
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#body === undefined ? null : (this.#body.stream() as ReadableStream<Uint8Array<ArrayBuffer>>)
  }

  get bodyUsed(): boolean {
    return this.#body?.used === true
  }

  text(): Promise<string> {
    return this.#read(textOf)
  }

  json(): Promise<unknown> {
    return this.#read(jsonOf)
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read(bufferOf)
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#read(bytesOf)
  }

  blob(): Promise<Blob> {
    return this.#whole().then((response) => response.blob())
  }

  formData(): Promise<FormData> {
    return this.#whole().then((response) => response.formData())
  }

  clone(): MeshResponse {
    if (this.#body === undefined) return new MeshResponse(this.#head, undefined, this.#unread)
    if (this.#body.unusable) throw new TypeError('Response.clone: Body has already been consumed.')
    return new MeshResponse(this.#head, this.#body.tee(), this.#unread)
  }

  /** A `Response` of Node's own with all the bytes, for what needs a parser of media types. */
  #whole(): Promise<Response> {
    return this.#read((bytes) => {
      const type = this.headers.get('content-type')
      return new Response(bytes as Uint8Array<ArrayBuffer>, type === null ? {} : { headers: { 'content-type': type } })
    })
  }

  #read<T>(convert: (bytes: Uint8Array) => T): Promise<T> {
    const body = this.#body
    return new Promise((resolve, reject) => {
      if (body === undefined) resolve(convert(NOTHING))
      else if (body.unusable) reject(new TypeError('Body is unusable: Body has already been read'))
      else body.collect(new Conversion(convert, resolve, reject))
    })
  }
}

/**
 * Makes every `MeshResponse` an instance of `globalThis.Response`; to be called before the first is made. Not done by `extends`,
 * because naming `Response` loads Node's whole fetch: 12 ms and 2 MB that a process without fetch saves.
 */
export function adoptResponse(): void {
  const mine = MeshResponse.prototype
  const theirs = Response.prototype
  if (Object.getPrototypeOf(mine) === theirs) return
  for (const name of Object.getOwnPropertyNames(mine)) Object.defineProperty(mine, name, { enumerable: name !== 'constructor' })
  Object.setPrototypeOf(mine, theirs)
  // `new response.constructor(body, init)` makes an ordinary response.
  Object.defineProperty(mine, 'constructor', { value: Response })
  for (const name of Object.getOwnPropertyNames(theirs)) if (!Object.hasOwn(mine, name)) delegate(mine, name)
}

/** What a newer Node's `Response` can do besides: done by one of those, which takes over the stream. */
function delegate(prototype: MeshResponse, name: string): void {
  const { value } = Object.getOwnPropertyDescriptor(Response.prototype, name) ?? {}
  if (typeof value !== 'function') return
  const method = function (this: MeshResponse, ...args: unknown[]): unknown {
    return Reflect.apply(value, new Response(this.body), args)
  }
  Object.defineProperty(prototype, name, { value: method, configurable: true, enumerable: true, writable: true })
}

const NOTHING = new Uint8Array(0)
const utf8 = new TextDecoder()

/** A byte order mark at the beginning is not part of the text. */
function textOf(bytes: Uint8Array): string {
  return utf8.decode(bytes)
}

function jsonOf(bytes: Uint8Array): unknown {
  return JSON.parse(utf8.decode(bytes))
}

/** A copy: the bytes share their memory with others. */
function bytesOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}

/** Waits for the bytes and settles a promise with what they mean. */
class Conversion<T> {
  readonly #convert: (bytes: Uint8Array) => T
  readonly #resolve: (value: T) => void
  readonly reject: (error: unknown) => void

  constructor(convert: (bytes: Uint8Array) => T, resolve: (value: T) => void, reject: (error: unknown) => void) {
    this.#convert = convert
    this.#resolve = resolve
    this.reject = reject
  }

  resolve(bytes: Uint8Array): void {
    try {
      this.#resolve(this.#convert(bytes))
    } catch (error) {
      this.reject(error)
    }
  }
}
