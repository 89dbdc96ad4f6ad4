import http, { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import http2 from 'node:http2'
import type { TLSSocket } from 'node:tls'
import grpc from '@grpc/grpc-js'
import type { IdentitySourceFactory, IdentityUpdate } from '../../src/core/identity.ts'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { createMesh, type Mesh, type ServiceOptions } from '../../src/index.ts'
import { files } from '../../src/tls/files.ts'
import { Trial, type TrialClient, trialHandlers } from './grpc-trial.ts'
import { RotatingIssuer, type Volume } from './rotating-issuer.ts'
import type { Door } from './steady-load.ts'

/** A mesh whose identity is in a volume. */
export interface Member {
  readonly mesh: Mesh
  readonly volume: Volume
  /** Resolves once it has the identity that is in its volume now. */
  readonly upToDate: () => Promise<void>
}

export type RotationStep = 'renew' | 'addRoot' | 'changeIssuer' | 'removeOldRoots'

/**
 * Services over HTTP/1.1, HTTP/2 and gRPC, which all answer with the serials of the certificates that a call's connection was made with, the
 * caller's and theirs; and a caller of them. Their identities are rotated by the issuer.
 */
export class RotatedServices {
  readonly issuer: RotatingIssuer
  readonly caller: Member
  readonly callee: Member
  /** One that the caller knows, and that is never renewed. */
  readonly straggler: Member
  readonly ports: Ports
  readonly client: TrialClient
  readonly #streams: Streams
  readonly #stop: () => void

  /** @param lifeMs of a leaf, in milliseconds */
  static async start(lifeMs: number): Promise<RotatedServices> {
    const issuer = await RotatingIssuer.make(lifeMs)
    const callee = member('callee', await issuer.mount('callee'), {})
    const straggler = member('straggler', await issuer.mountOnce('straggler'), {})
    const streams: Streams = new Set()
    const http1 = createServer(answering(streams))
    const late = createServer(answering(streams))
    const h2 = http2.createServer(answering(streams) as never)
    const trial = new grpc.Server()
    trial.addService(Trial.service, { ...trialHandlers('callee'), ask: answerGrpc })
    const at = { port: 0, host: '127.0.0.1', mode: 'strict' } as const
    const ports = {
      http: await callee.mesh.listen(http1, at),
      h2: await callee.mesh.listen(h2, at),
      grpc: await callee.mesh.listen(trial, at),
      straggler: await straggler.mesh.listen(late, at),
    }
    const endpoint = (port: number, { volume }: Member) => staticEndpoints([{ host: '127.0.0.1', port, identity: volume.id }])
    const caller = member('caller', await issuer.mount('caller'), {
      http: { discovery: endpoint(ports.http, callee) },
      h2: { discovery: endpoint(ports.h2, callee), protocol: 'h2c' },
      grpc: { discovery: endpoint(ports.grpc, callee) },
      straggler: { discovery: endpoint(ports.straggler, straggler) },
    })
    const stop = () => {
      for (const server of [http1, late, h2]) server.close()
      trial.forceShutdown()
    }
    return new RotatedServices({ issuer, caller, callee, straggler, ports, streams, stop })
  }

  private constructor(parts: Parts) {
    this.issuer = parts.issuer
    this.caller = parts.caller
    this.callee = parts.callee
    this.straggler = parts.straggler
    this.ports = parts.ports
    this.#streams = parts.streams
    this.#stop = parts.stop
    this.client = new Trial('grpc', grpc.credentials.createInsecure(), this.caller.mesh.grpc())
  }

  /** POST, and calls that are not known to be idempotent: what is lost once is lost. */
  get doors(): Readonly<Record<string, Door>> {
    const { mesh } = this.caller
    const post = { method: 'POST', body: 'a vote' }
    return {
      fetch: async () => textOf(await mesh.fetch('http://http/', post)),
      'node:http': () => postByNode(mesh),
      h2: async () => textOf(await mesh.fetch('http://h2/', post)),
      gRPC: () => askByGrpc(this.client),
    }
  }

  /** What every door answers when its connection was made with the present identities. */
  get present(): string {
    return `${this.caller.volume.serial} ${this.callee.volume.serial}`
  }

  /** Changes what is in the volumes, and waits until both have read it. */
  async rotate(step: RotationStep): Promise<void> {
    await this.issuer[step]()
    await Promise.all([this.caller.upToDate(), this.callee.upToDate()])
  }

  /** Writes to every answer that goes on, or ends them. */
  write(text: string): void {
    for (const write of this.#streams) write(text)
  }

  endStreams(): void {
    for (const write of this.#streams) write(undefined)
    this.#streams.clear()
  }

  async close(): Promise<void> {
    this.endStreams()
    this.client.close()
    await this.caller.mesh.close()
    this.#stop()
    await Promise.all([this.callee.mesh.close(), this.straggler.mesh.close()])
    this.issuer.close()
  }
}

type Ports = Readonly<Record<'http' | 'h2' | 'grpc' | 'straggler', number>>
/** What writes to an answer that goes on; undefined ends it. */
type Streams = Set<(text: string | undefined) => void>

interface Parts extends Pick<RotatedServices, 'issuer' | 'caller' | 'callee' | 'straggler' | 'ports'> {
  readonly streams: Streams
  readonly stop: () => void
}

function member(name: string, volume: Volume, services: Readonly<Record<string, ServiceOptions>>): Member {
  const told = new Set<() => void>()
  let read = ''
  const identity = watched(files({ directory: volume.directory }), (update) => {
    if ('identity' in update) read = update.identity.certificates
    for (const look of told) look()
  })
  const mesh = createMesh({ name, identity, services })
  const upToDate = () =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (read !== volume.leaf) return
        told.delete(look)
        resolve()
      }
      told.add(look)
      look()
    })
  return { mesh, volume, upToDate }
}

/** A source, and somebody who looks on. */
function watched(factory: IdentitySourceFactory, see: (update: IdentityUpdate) => void): IdentitySourceFactory {
  return (runtime) => {
    const source = factory(runtime)
    return {
      watch: (onUpdate) =>
        source.watch((update) => {
          onUpdate(update)
          see(update)
        }),
    }
  }
}

// === what the services answer

function answering(streams: Streams): RequestListener {
  return (request, response) => {
    if (request.url !== '/stream') {
      request.resume()
      request.once('end', () => response.end(serials(request.socket as TLSSocket)))
      return
    }
    const write = (text: string | undefined): void => void (text === undefined ? response.end() : response.write(text))
    streams.add(write)
    response.once('close', () => streams.delete(write))
    response.write('begun')
  }
}

/** Of the caller; the other is read by the caller, since grpc-js does not tell a handler. */
const answerGrpc = ((call, done) => {
  done(null, { server: call.getAuthContext().sslPeerCertificate?.serialNumber })
}) as grpc.handleUnaryCall<object, object>

function serials(socket: TLSSocket): string {
  return `${socket.getPeerCertificate().serialNumber} ${(socket.getCertificate() as { serialNumber: string }).serialNumber}`
}

// === how they are called

async function textOf(response: Response): Promise<string> {
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  return text
}

function postByNode(mesh: Mesh): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: 'http', path: '/', method: 'POST', agent: mesh.httpAgent }
    const request = http.request(options, (response: IncomingMessage) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode} ${text}`)),
      )
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end('a vote')
  })
}

function askByGrpc(client: TrialClient): Promise<string> {
  return new Promise((resolve, reject) => {
    let callee: string | undefined
    const call = client.ask({}, (error, answer) => (error === null ? resolve(`${answer?.server} ${callee}`) : reject(error)))
    call.on('metadata', () => {
      callee = call.getAuthContext()?.sslPeerCertificate?.serialNumber
    })
  })
}
