import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const SRC = join(import.meta.dirname, '../../src')

/**
 * Watches a source in a process that has nothing else to do, and answers what came first, `identity` or `error`, once the process has ended
 * by itself. It waits for ever if the source holds it.
 *
 * @param name of its file in src/tls and of its function
 */
export async function runAlone(name: string, options: object): Promise<string> {
  const code = `
    import { systemClock, systemRandom } from '${SRC}/core/clock.ts'
    import { retryLoop } from '${SRC}/resilience/retry-loop.ts'
    import { ${name} } from '${SRC}/tls/${name}.ts'

    const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
    const wait = setInterval(() => {}, 1_000)
    ${name}(${JSON.stringify(options)})(runtime).watch((update) => {
      if (wait._destroyed) return
      clearInterval(wait)
      process.stdout.write(Object.keys(update)[0])
    })
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])
  return stdout
}
