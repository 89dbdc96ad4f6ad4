import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import type { TestContext } from 'node:test'
import type { Clock } from '../../src/core/clock.ts'
import type { Identity } from '../../src/core/identity.ts'
import type { TlsObserver } from '../../src/core/tls-observer.ts'
import { Security, type TlsMode } from '../../src/server/secure-listener.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import { Revocations } from '../../src/tls/revocations.ts'
import { cleanup } from '../support/servers.ts'
import { settle, type VirtualClock, virtualRuntime } from '../support/virtual-time.ts'
import type { Made } from '../tls/test-certificates.ts'
import { makeIdentity, TrialSource, trialRoot } from '../tls/trial-identities.ts'

export const SERVER_ID = 'spiffe://cluster.local/ns/emojivoto/sa/voting'
export const CLIENT_ID = 'spiffe://cluster.local/ns/emojivoto/sa/web'

/** A process that serves by TLS, and one that calls it, each with an identity of one root. */
export interface SecurityTrial {
  readonly root: Made
  readonly clock: VirtualClock
  readonly security: Security
  readonly source: TrialSource
  readonly keyring: Keyring
  readonly revocations: Revocations
  /** What the observer was told: `server ok ...`, `accepted mtls`. */
  readonly seen: string[]
  /** Options of `tls.connect` for a caller with an identity. */
  readonly caller: { readonly secureContext: NonNullable<Keyring['clientContext']>; readonly rejectUnauthorized: false }
  /** The same with an identity of its own. */
  callerWith(identity: Identity): SecurityTrial['caller']
  /** Resolves when the observer has been told something that matches. */
  told(pattern: RegExp): Promise<string>
}

export function trialSecurity(t: TestContext, mode: TlsMode = 'permissive'): SecurityTrial {
  const runtime = virtualRuntime()
  const root = trialRoot()
  const seen: string[] = []
  const waiting = new Set<() => void>()
  const see = (text: string) => {
    seen.push(text)
    for (const look of waiting) look()
  }
  const observer: TlsObserver = {
    handshakeEnded: (side, result, message) => see(`${side} ${result} ${message}`),
    connectionAccepted: (kind) => see(`accepted ${kind}`),
    identityChanged() {},
    identityFailed() {},
  }
  const source = new TrialSource()
  const revocations = new Revocations()
  const keyring = new Keyring({ runtime, source: source.factory, observer, verifier: { revocations } })
  void keyring.identity
  source.identity(makeIdentity(root, '/ns/emojivoto/sa/voting'))
  const security = new Security({ keyring, clock: runtime.clock as Clock, mode })
  const callerWith = (identity: Identity) => {
    const own = new TrialSource()
    const callers = new Keyring({ runtime, source: own.factory })
    void callers.identity
    own.identity(identity)
    const secureContext = callers.clientContext as NonNullable<Keyring['clientContext']>
    return { secureContext, rejectUnauthorized: false } as const
  }
  const told = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      const look = () => {
        const found = seen.find((text) => pattern.test(text))
        if (found === undefined) return
        waiting.delete(look)
        resolve(found)
      }
      waiting.add(look)
      look()
    })
  cleanup(t, () => {
    security.close()
    keyring.close()
  })
  const caller = callerWith(makeIdentity(root, '/ns/emojivoto/sa/web'))
  return { root, clock: runtime.clock, security, source, keyring, revocations, seen, caller, callerWith, told }
}

/** Lets the event loop turn until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    if (turn > 50_000) throw new Error('it never held')
    await settle()
  }
}

/** Listens on the loopback until the test is over, when whoever is still connected is cut off. */
export async function listenOn(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<{ destroy(): unknown }>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup(t, async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return (server.address() as AddressInfo).port
}
