import { systemClock, systemRandom } from '../src/core/clock.ts'
import { retryLoop } from '../src/resilience/retry-loop.ts'
import { RotatingIssuer } from '../test/support/rotating-issuer.ts'
import type { BenchResult } from './result.ts'
import { startSecured } from './support/secured-process.ts'
import { rounded } from './support/statistics.ts'
import { type HandshakeCost, handshakeCosts } from './support/tls-handshakes.ts'
import { type MemoryCost, memoryCosts } from './support/tls-memory.ts'
import { type RequestCost, requestCosts } from './support/tls-requests.ts'

export const description = 'mutual TLS: CPU per request against plaintext, CPU of a handshake, memory of a connection'
export const slow = true

const TARGETS = { ratio: 1.25, handshakeMs: 1.5, memoryKb: 40 }
const LIFE_MS = 3_600_000

export async function run(): Promise<BenchResult> {
  const issuer = await RotatingIssuer.make(LIFE_MS)
  const { directory, id } = await issuer.mount('bench')
  const server = await startSecured(directory)
  try {
    const requests = await requestCosts(server, directory, id)
    const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
    const handshakes = await handshakeCosts(runtime, directory, id)
    const memory = await memoryCosts(server.ports, directory, id)
    return report(requests, handshakes, memory)
  } finally {
    server.stop()
    issuer.close()
  }
}

function report(
  requests: readonly RequestCost[],
  handshakes: readonly HandshakeCost[],
  memory: readonly MemoryCost[],
): BenchResult {
  return {
    name: 'tls',
    columns: ['what', 'value', 'unit', 'against', 'ratio', 'spread', 'target'],
    rows: [...requests.map(requestRow), ...handshakes.map(handshakeRow), ...memory.map(memoryRow)],
    json: { node: process.version, targets: TARGETS, requests, handshakes, memory },
    notes: [
      'requests: on kept connections, CPU of the client and the server together; the ratio is that of mutual TLS to plaintext, spread its middle half.',
      'handshakes: CPU of both ends together, from the dialling to the closed connection; compared with node:tls that has the same group.',
      'memory: resident, per connection of 1,000 to as many endpoints, beyond a plain socket, or the mesh in plaintext; spread over three processes.',
    ],
  }
}

function requestRow({ calls, inFlight, own, other, ratio, ratioP25, ratioP75 }: RequestCost): (string | number)[] {
  const what = `request, ${calls}, ${inFlight} in flight`
  const against = `plaintext ${rounded(other, 1)}`
  const target = calls.endsWith('alone') ? '' : `<= ${TARGETS.ratio}`
  return [what, rounded(own, 1), 'us CPU', against, ratio, between(ratioP25, ratioP75, 3), target]
}

function handshakeRow({ contestant, own, other, ratio, ratioP25, ratioP75 }: HandshakeCost): (string | number)[] {
  const against = `node:tls ${rounded(other, 2)}`
  const target = contestant.startsWith('mesh') ? `<= ${TARGETS.handshakeMs} ms` : ''
  return [`handshake, ${contestant}`, rounded(own, 2), 'ms CPU', against, ratio, between(ratioP25, ratioP75, 3), target]
}

function memoryRow({ holder, over, kb, leastKb, mostKb }: MemoryCost): (string | number)[] {
  const target = holder.startsWith('mesh') ? `<= ${TARGETS.memoryKb} KB` : ''
  return [`memory, ${holder}`, rounded(kb, 1), 'KB', over, '', between(leastKb, mostKb, 1), target]
}

const between = (low: number, high: number, digits: number): string => `${low.toFixed(digits)}-${high.toFixed(digits)}`
