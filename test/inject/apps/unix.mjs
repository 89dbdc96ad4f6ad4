import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const path = process.platform === 'win32' ? `\\\\.\\pipe\\inmesh-${process.pid}` : join(tmpdir(), `inmesh-${process.pid}.sock`)
const server = createServer((_request, response) => response.end())
server.listen(path, () => {
  server.close()
  process.send('listening')
})
