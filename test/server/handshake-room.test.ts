import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { connect as connectPlain, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import tls from 'node:tls'
import { type Guest, HandshakeRoom } from '../../src/server/handshake-room.ts'
import { secureServer } from '../../src/server/secure-server.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { listenOn, trialSecurity, until } from './trial-security.ts'

class Trial implements Guest {
  begun = false
  readonly #room: HandshakeRoom

  constructor(room: HandshakeRoom) {
    this.#room = room
  }

  begin(): void {
    this.begun = true
  }

  makeRoom(): void {
    this.#room.leave(this)
  }
}

function fill(count: number) {
  const clock = new VirtualClock()
  const room = new HandshakeRoom(clock)
  const guests = Array.from({ length: count }, () => new Trial(room))
  const entered = guests.map((guest) => room.enter(guest))
  return { clock, room, guests, entered, begun: () => guests.filter((guest) => guest.begun).length }
}

describe('the room for handshakes', () => {
  test('lets 256 be under way, and the others in as these end, in order', () => {
    const { room, guests, begun } = fill(258)
    assert.equal(begun(), 256)

    room.leave(guests[7] as Trial)

    assert.equal(begun(), 257)
    assert.deepEqual([guests[256]?.begun, guests[257]?.begun], [true, false])
  })

  test('lets the newest in first when many wait, and none twice', () => {
    const { room, guests, begun } = fill(1_000)
    room.leave(guests[998] as Trial)

    room.leave(guests[0] as Trial)
    room.leave(guests[1] as Trial)

    assert.deepEqual([guests[256]?.begun, guests[997]?.begun, guests[998]?.begun, guests[999]?.begun], [false, true, false, true])
    const left = new Set([guests[0], guests[1]])
    for (let next = guests[2]; next !== undefined; next = guests.find((guest) => guest.begun && !left.has(guest))) {
      left.add(next)
      room.leave(next)
    }
    assert.equal(begun(), 999)
  })

  test('turns away who comes when 10,000 wait', () => {
    const { entered } = fill(10_257)

    assert.equal(entered.indexOf(false), 10_256)
  })

  test('does not call who has given up waiting', () => {
    const { room, guests } = fill(258)

    room.leave(guests[256] as Trial)
    room.leave(guests[0] as Trial)

    assert.deepEqual([guests[256]?.begun, guests[257]?.begun], [false, true])
  })

  test('has the slow make room after a second when others wait', () => {
    const { clock, begun } = fill(300)

    clock.advance(999)
    assert.equal(begun(), 256)
    clock.advance(1)

    assert.equal(begun(), 300)
  })

  test('lets the slow be when nobody waits, and starts no timer', () => {
    const { clock } = fill(256)

    assert.equal(clock.pending, 0)
  })
})

test('two thousand handshakes at once are all made, while a few hundred that were begun and stopped hold their places', async (t) => {
  const trial = trialSecurity(t)
  const server = http.createServer((_, response) => response.end('hello'))
  secureServer(trial.security, server)
  const port = await listenOn(t, server)
  const stopped = Array.from({ length: 200 }, () =>
    connectPlain(port, '127.0.0.1', function (this: Socket) {
      this.write(Buffer.from([0x16, 3, 1]))
    }).on('error', () => {}),
  )
  await until(() => trial.clock.pending >= 200)

  const secured = await Promise.all(
    Array.from({ length: 2_000 }, async () => {
      const socket = tls.connect({ port, host: '127.0.0.1', ...trial.caller })
      await once(socket, 'secureConnect')
      const isSecure = socket.encrypted && socket.getProtocol() === 'TLSv1.3'
      socket.end()
      return isSecure
    }),
  )

  assert.equal(secured.filter(Boolean).length, 2_000)
  for (const socket of stopped) socket.destroy()
})
