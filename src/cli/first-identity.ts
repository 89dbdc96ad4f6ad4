import type { Runtime } from '../core/clock.ts'
import type { Identity, IdentitySourceFactory } from '../core/identity.ts'

/** How long a source may take, in milliseconds: a person is waiting. */
const WAIT_MS = 5_000

/**
 * The first that a source tells, then it is stopped.
 *
 * @throws the source's own error, or one after 5 s
 */
export function firstIdentity(source: IdentitySourceFactory, runtime: Runtime): Promise<Identity> {
  return new Promise((resolve, reject) => {
    const end = () => {
      // Holds the process, which nothing else might.
      timer.cancel()
      stop()
    }
    const timer = runtime.clock.hold(WAIT_MS, () => {
      end()
      reject(new Error(`no identity came within ${WAIT_MS} ms`))
    })
    const stop = source(runtime).watch((update) => {
      end()
      if ('identity' in update) resolve(update.identity)
      else reject(update.error)
    })
  })
}
