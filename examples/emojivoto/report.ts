import type { Mesh } from 'inmesh'

/**
 * Sends what this process has seen to the demo twice a second, and ends with it.
 *
 * @returns a signal that is aborted when the process is asked to end
 */
export function reportStats(mesh: Mesh): AbortSignal {
  const ending = new AbortController()
  const timer = setInterval(() => process.send?.(mesh.stats()), 500)
  process.on('message', (message) => {
    if (message === 'report') process.send?.(mesh.stats())
  })
  process.once('disconnect', () => process.exit())
  // Ctrl-C reaches every process of the terminal; the demo decides who ends when
  process.on('SIGINT', () => {})
  process.once('SIGTERM', async () => {
    ending.abort()
    clearInterval(timer)
    await mesh.close()
    process.exit()
  })
  return ending.signal
}
