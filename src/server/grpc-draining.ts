import { type DrainingServer, drainingServer } from './draining-server.ts'
import { eachHttp2Server } from './grpc-inside.ts'

/** A server of grpc-js, as far as a drain is concerned. */
export interface ShutsDown {
  tryShutdown(done: (error?: Error) => void): void
  forceShutdown(): void
}

/** Lets a server of grpc-js be emptied: it stops listening and sends GOAWAY, calls under way go on. */
export function drainingGrpcServer(server: ShutsDown): DrainingServer {
  // without channelz grpc-js forgets its connections when it is forced to shut down
  const listening: DrainingServer[] = []
  eachHttp2Server(server, (http2Server) => void listening.push(drainingServer(http2Server)))

  const cutOff = (): void => {
    server.forceShutdown()
    for (const one of listening) one.cutOff()
  }
  const forget = (): void => {
    for (const one of listening) one.forget()
  }
  return { close: () => new Promise((resolve) => server.tryShutdown(() => resolve())), cutOff, forget }
}
