// voting: counts votes. A vote has an id, so that the same vote sent twice counts once: PUT is idempotent.
import { createServer } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { createMesh } from 'inmesh'
import { reportStats } from './report.ts'

const mesh = createMesh({ name: 'voting' })
/** One replica is slower than the others. */
const delayMs = Number(process.env['VOTING_DELAY_MS'] ?? 0)
const votes = new Map<string, number>()
/** The latest ids, enough to know a vote that is sent again. */
const seen = new Set<string>()

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://voting')
  const [, , id, shortcode] = url.pathname.split('/')
  if (delayMs > 0) await pause(delayMs)
  if (url.pathname === '/results') return response.end(JSON.stringify(Object.fromEntries(votes)))
  if (request.method !== 'PUT' || id === undefined || shortcode === undefined) return response.writeHead(404).end()
  // as in the original, nobody gets to vote for the doughnut
  if (shortcode === ':doughnut:') return response.writeHead(500).end('cannot vote for the doughnut\n')
  if (!seen.has(id)) votes.set(shortcode, (votes.get(shortcode) ?? 0) + 1)
  seen.add(id)
  if (seen.size > 10_000) seen.delete(seen.values().next().value as string)
  return response.end('thanks\n')
})

server.listen(0, '127.0.0.1')
mesh.announce(server)
reportStats(mesh)
