// A process that announces a server and lives until it is killed or its input ends.
import { systemClock, systemRandom } from '../../src/core/clock.ts'
import { announce } from '../../src/discovery/local.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'

const [directory = '', service = '', port = ''] = process.argv.slice(2)
const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
const registration = announce(runtime, { service, host: '127.0.0.1', port: Number(port), directory })

process.on('exit', () => registration.withdraw())
process.stdin.on('end', () => process.exit(0)).resume()
process.stdout.write('announced\n')
