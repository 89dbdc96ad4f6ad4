// A process of its own: opens as many connections to a port as it is told, says so, and sends nothing.
import net from 'node:net'

const [port, count] = process.argv.slice(2).map(Number) as [number, number]
/** As many at a time as a server's queue of new connections takes. */
const AT_ONCE = 100

let opened = 0
async function openInTurn(): Promise<void> {
  while (opened < count) {
    opened++
    await new Promise<void>((resolve, reject) => net.connect(port, '127.0.0.1', resolve).once('error', reject))
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, openInTurn))
process.send?.(opened)
process.once('disconnect', () => process.exit())
