import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import { type TestContext, test } from 'node:test'
import { TlsLog } from '../../src/telemetry/tls-log.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { warningsOf } from '../support/warnings.ts'

function heard(t: TestContext, channel: string): unknown[] {
  const messages: unknown[] = []
  const hear = (message: unknown) => void messages.push(message)
  diagnostics.subscribe(channel, hear)
  t.after(() => diagnostics.unsubscribe(channel, hear))
  return messages
}

test('tells every handshake that failed by its channel, and of each side and result one a minute by a warning', async (t) => {
  const warnings = warningsOf(t, 'INMESH_HANDSHAKE')
  const messages = heard(t, 'inmesh:handshake')
  const clock = new VirtualClock()
  const log = new TlsLog(clock)

  log.handshakeEnded('server', 'ok', 'spiffe://cluster.local/web')
  for (let i = 0; i < 3; i++) log.handshakeEnded('server', 'untrusted', `10.0.0.7:${i}: nobody knows who signed it`)
  log.handshakeEnded('client', 'untrusted', '10.0.0.8:8080: nobody knows who signed it')
  log.handshakeEnded('server', 'timeout', '10.0.0.9:1: not finished within 10000 ms')
  log.handshakeEnded('server', 'broken_off', '10.0.0.9:2: the caller has left')
  clock.advance(60_000)
  log.handshakeEnded('server', 'untrusted', '10.0.0.7:3: nobody knows who signed it')

  assert.equal(messages.length, 7)
  assert.deepEqual(messages[0], { side: 'server', result: 'untrusted', message: '10.0.0.7:0: nobody knows who signed it' })
  assert.deepEqual(await warnings(4), [
    'TLS handshake as server failed (untrusted): 10.0.0.7:0: nobody knows who signed it',
    'TLS handshake as client failed (untrusted): 10.0.0.8:8080: nobody knows who signed it',
    'TLS handshake as server failed (timeout): 10.0.0.9:1: not finished within 10000 ms',
    'TLS handshake as server failed (untrusted): 10.0.0.7:3: nobody knows who signed it, and 2 more since the last warning',
  ])
})

test('tells why there is no newer identity likewise', async (t) => {
  const warnings = warningsOf(t, 'INMESH_IDENTITY')
  const messages = heard(t, 'inmesh:identity')
  const clock = new VirtualClock()
  const log = new TlsLog(clock)

  for (let i = 0; i < 3; i++) log.identityFailed(new Error('the agent is gone'))
  log.identityChanged()
  clock.advance(60_000)
  log.identityFailed(new Error('it is gone again'))

  assert.deepEqual(messages, [...Array(3).fill({ message: 'the agent is gone' }), { message: 'it is gone again' }])
  assert.deepEqual(await warnings(2), [
    'no identity: the agent is gone',
    'no newer identity: it is gone again, and 2 more since the last warning',
  ])
})

test('hands on what strangers wrote on one line, without what a terminal obeys, and not at any length', async (t) => {
  const warnings = warningsOf(t, 'INMESH_HANDSHAKE')
  const messages = heard(t, 'inmesh:handshake') as { readonly message: string }[]

  new TlsLog(new VirtualClock()).handshakeEnded('server', 'name', `evil\n\u001b[2J\u202e${'x'.repeat(3_000)}`)

  const [{ message }] = messages as [{ readonly message: string }]
  assert.match(message, /^evil\\u\{a\}\\u\{1b\}\[2J\\u\{202e\}x+\.\.\.$/)
  assert.equal(message.length, 1_000)
  assert.deepEqual(await warnings(1), [`TLS handshake as server failed (name): ${message}`])
})
