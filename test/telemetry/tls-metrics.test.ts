import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from '../../src/core/identity.ts'
import { GoldenMetrics } from '../../src/telemetry/golden-metrics.ts'
import { prometheusText } from '../../src/telemetry/prometheus.ts'
import { VirtualClock } from '../support/virtual-time.ts'

const identity: Identity = {
  id: 'spiffe://trust.test/ns/default/sa/web',
  certificates: '',
  key: '',
  trust: {},
  notBefore: 0,
  notAfter: 1_900_000_000_000,
}

/** The lines of the secured part, comments left out. */
function lines(metrics: GoldenMetrics): string[] {
  return prometheusText(metrics)
    .split('\n')
    .filter((line) => /^mesh_(tls|identity)/.test(line))
}

test('counts handshakes by side and result, and connections by how their callers came', () => {
  const metrics = new GoldenMetrics(new VirtualClock())

  metrics.tls.handshakeEnded('server', 'ok')
  metrics.tls.handshakeEnded('server', 'ok')
  metrics.tls.handshakeEnded('client', 'untrusted')
  metrics.tls.connectionAccepted('mtls')
  metrics.tls.connectionAccepted('plaintext')

  assert.deepEqual(lines(metrics), [
    'mesh_tls_handshakes_total{mesh_tls_side="server",mesh_tls_result="ok"} 2',
    'mesh_tls_handshakes_total{mesh_tls_side="client",mesh_tls_result="untrusted"} 1',
    'mesh_tls_connections_total{mesh_security="mtls"} 1',
    'mesh_tls_connections_total{mesh_security="plaintext"} 1',
  ])
})

test('tells how often the identity was renewed, how often that failed, and until when it is valid', () => {
  const metrics = new GoldenMetrics(new VirtualClock())

  metrics.tls.identityChanged(identity)
  metrics.tls.identityChanged({ ...identity, notAfter: 1_900_000_001_500 })
  metrics.tls.identityFailed()

  assert.deepEqual(lines(metrics), [
    'mesh_identity_refreshes_total 2',
    'mesh_identity_failures_total 1',
    'mesh_identity_expiration_seconds 1900000001.5',
  ])
})

test('tells nothing of TLS where there is none', () => {
  assert.deepEqual(lines(new GoldenMetrics(new VirtualClock())), [])
})
