import { systemClock, systemRandom } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { localCa } from '../../src/tls/local-ca.ts'

/**
 * A process that asks the local CA for its identity and tells its parent. It goes on watching, and ends by itself for all that, since a source
 * holds no process. Run with the runtime directory and an account.
 */
const [directory = '', account = ''] = process.argv.slice(2)
const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }

await new Promise<void>((resolve) => {
  // Until then, somebody must hold it.
  const held = setInterval(() => {}, 60_000)
  localCa({ directory, account })(runtime).watch((update) => {
    clearInterval(held)
    process.stdout.write(JSON.stringify('identity' in update ? update.identity : { error: update.error.message }), () =>
      resolve(),
    )
  })
})
