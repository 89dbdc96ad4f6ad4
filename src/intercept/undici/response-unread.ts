import type { MeshResponse } from './response.ts'
import type { ResponseBody } from './response-body.ts'

/**
 * Sees to responses that are dropped without being read: once such a response is collected, its connection is given up. Only those are
 * watched whose body is still on its way when their caller gets them; watching costs 1 us and the collector's time.
 */
export class UnreadResponses {
  readonly #registry = new FinalizationRegistry<ResponseBody>((body) => body.abandon())
  readonly #fresh: [MeshResponse, ResponseBody][] = []

  /** Looks once what was received together with the head is in, which is all of most bodies. */
  add(response: MeshResponse, body: ResponseBody): void {
    this.#fresh.push([response, body])
    if (this.#fresh.length === 1) queueMicrotask(this.#look)
  }

  readonly #look = (): void => {
    for (const [response, body] of this.#fresh) if (!body.settled) this.#registry.register(response, body)
    this.#fresh.length = 0
  }
}
