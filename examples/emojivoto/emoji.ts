// emoji: knows which emoji one can vote for.
import { createServer } from 'node:http'
import { createMesh } from 'inmesh'
import { catalogue } from './catalogue.ts'
import { reportStats } from './report.ts'

const mesh = createMesh({ name: 'emoji' })

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://emoji')
  const found =
    url.pathname === '/api/find' ? catalogue.find((e) => e.shortcode === url.searchParams.get('shortcode')) : undefined
  if (url.pathname === '/api/list') response.setHeader('content-type', 'application/json').end(JSON.stringify(catalogue))
  else if (found !== undefined) response.setHeader('content-type', 'application/json').end(JSON.stringify(found))
  else response.writeHead(404).end('no such emoji\n')
})

server.listen(0, '127.0.0.1')
mesh.announce(server)
reportStats(mesh)
