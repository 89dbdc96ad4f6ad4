import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { Inbound } from '../../../src/core/inbound.ts'

/** As much of Express as the tests use; the packages bring no types. */
export interface ExpressRouter {
  use(...handlers: unknown[]): this
  get(path: string | RegExp, ...handlers: ExpressHandler[]): this
  post(path: string, ...handlers: unknown[]): this
}

export type ExpressApp = ExpressRouter & RequestListener
export type ExpressRequest = IncomingMessage & {
  readonly mesh: Inbound
  readonly body?: unknown
  readonly params: Record<string, string>
}
export type ExpressResponse = ServerResponse & {
  send(text: string): void
  json(value: unknown): void
  status(code: number): ExpressResponse
}
export type ExpressHandler = (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void) => unknown

export interface Express {
  (): ExpressApp
  Router(options?: object): ExpressRouter
  json(): unknown
}

const require = createRequire(import.meta.url)

/** By the name under which a version is installed. */
export const express = (name: string): Express => require(name)
