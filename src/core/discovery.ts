import type { Runtime } from './clock.ts'
import type { Address } from './endpoint.ts'

/** Where a service's addresses come from. */
export interface Discovery {
  /**
   * Reports the addresses of a service, now and on each change, until the returned function is called.
   *
   * - Each update is the whole set, never a difference; an update that changes nothing may be left out.
   * - An error keeps the last set; the driver goes on trying by itself.
   * - `onUpdate` is never called before `watch` has returned, nor after the stop function was called.
   * - Nothing it starts holds the process. Stopping is idempotent and leaves no timer, watcher or socket.
   *
   * @param service the service's name, or its authority when it was not configured: `voting`, `voting:8080`
   */
  watch(service: string, onUpdate: (update: Update) => void): () => void
}

export type Update = { readonly addresses: readonly Address[] } | { readonly error: Error }

export type DiscoveryFactory = (runtime: Runtime) => Discovery
