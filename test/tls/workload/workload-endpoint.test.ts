import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readWorkloadEndpoint } from '../../../src/tls/workload/workload-endpoint.ts'

for (const [uri, connect] of [
  ['unix:///run/spire/agent.sock', { path: '/run/spire/agent.sock' }],
  ['unix:/run/spire/agent.sock', { path: '/run/spire/agent.sock' }],
  ['UNIX:///run/a%20b.sock', { path: '/run/a b.sock' }],
  ['tcp://127.0.0.1:8000', { host: '127.0.0.1', port: 8000 }],
  ['tcp://[::1]:8000', { host: '::1', port: 8000 }],
] as const) {
  test(`reads ${uri}`, () => assert.deepEqual(readWorkloadEndpoint(uri), { uri, connect }))
}

for (const uri of [
  '',
  '/run/agent.sock',
  'unix://run/agent.sock',
  'unix:run/agent.sock',
  'unix://',
  'unix:///',
  'unix:///run/agent.sock?x=1',
  'unix:///run/agent.sock#x',
  'unix:///run/%00.sock',
  'unix:///run/%zz.sock',
  'unix:////run/agent.sock',
  'tcp://localhost:8000',
  'tcp://127.0.0.1',
  'tcp://127.0.0.1:0',
  'tcp://127.0.0.1:65536',
  'tcp://127.0.0.1:8000/',
  'tcp://127.0.0.1:8000/foo',
  'tcp://127.0.0.1:8000?x',
  'tcp://user@127.0.0.1:8000',
  'tcp://::1:8000',
  'tcp://[127.0.0.1]:8000',
  'tcp://[fe80::1%25eth0]:8000x',
  'http://127.0.0.1:8000',
]) {
  test(`refuses ${uri || 'nothing'}`, () => assert.equal(readWorkloadEndpoint(uri), undefined))
}
