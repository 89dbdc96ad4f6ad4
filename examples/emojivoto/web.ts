// web: what the voters see; asks emoji and voting by their names. No address is configured anywhere.
import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { createMesh } from 'inmesh'
import { reportStats } from './report.ts'

const mesh = createMesh({ name: 'web' })

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://web')
  try {
    if (url.pathname === '/api/list') await list(response)
    else if (url.pathname === '/api/vote') await vote(url.searchParams.get('choice') ?? '', response)
    else response.writeHead(404).end()
  } catch (error) {
    response.writeHead(502).end(`${(error as Error).cause ?? error}\n`)
  }
})

async function list(response: ServerResponse): Promise<void> {
  const answer = await mesh.fetch('http://emoji/api/list')
  response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
}

async function vote(choice: string, response: ServerResponse): Promise<void> {
  const found = await mesh.fetch(`http://emoji/api/find?shortcode=${encodeURIComponent(choice)}`)
  if (!found.ok) {
    response.writeHead(400).end(await found.text())
    return
  }
  const { shortcode } = (await found.json()) as { shortcode: string }
  const answer = await mesh.fetch(`http://voting/votes/${randomUUID()}/${shortcode}`, { method: 'PUT' })
  response.writeHead(answer.status).end(await answer.text())
}

server.listen(0, '127.0.0.1')
mesh.announce(server)
reportStats(mesh)
