import { Duplex } from 'node:stream'
import type { FallbackAnswer } from '../../core/service-breaker.ts'
import { http } from '../node-http.ts'

/** A connection on which an answer made here arrives, whatever is sent; so the application reads it like any other. */
export class MadeAnswer extends Duplex {
  readonly #bytes: Buffer

  constructor({ status, headers = {}, body = '' }: FallbackAnswer, method: string) {
    super()
    const content = Buffer.from(body as string)
    const fields = Object.entries(headers).filter(([name]) => !FRAMING.test(name))
    // RFC 9110 sections 8.6 and 6.4.1.
    const bodiless = status === 204 || status === 304
    if (!bodiless) fields.push(['content-length', String(content.length)])
    fields.push(['connection', 'close'])
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`)
    const head = Buffer.from(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`, 'latin1')
    this.#bytes = bodiless || method === 'HEAD' ? head : Buffer.concat([head, content])
  }

  override _read(): void {
    this.push(this.#bytes)
    this.push(null)
  }

  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done()
  }

  // What a request may ask of a socket.
  setTimeout(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

/** What this connection decides by itself. */
const FRAMING = /^(?:connection|keep-alive|content-length|transfer-encoding)$/i
