/**
 * Run as a child process: answers GETs over keep-alive on as many ports as its argument says, as cheaply as a socket can, and sends its
 * parent the ports. Ends with its parent.
 */
import net, { type AddressInfo } from 'node:net'

const BODY = JSON.stringify({ message: 'a small answer, as many services give', id: 42 })
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\nConnection: keep-alive\r\n\r\n${BODY}`
const END_OF_HEAD = '\r\n\r\n'

const ports = await Promise.all(Array.from({ length: Number(process.argv[2]) }, listen))
process.send?.(ports)
process.on('disconnect', () => process.exit())

function listen(): Promise<number> {
  const server = net.createServer((socket) => {
    let rest = ''
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      const heads = (rest + chunk.toString('latin1')).split(END_OF_HEAD)
      rest = heads.pop() ?? ''
      if (heads.length > 0) socket.write(ANSWER.repeat(heads.length))
    })
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}
