import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DetailedPeerCertificate } from 'node:tls'
import { serverChain } from '../../src/transport/server-chain.ts'

const certificate = (name: string, issuerCertificate?: object) =>
  ({ raw: Buffer.from(name), ...(issuerCertificate === undefined ? {} : { issuerCertificate }) }) as DetailedPeerCertificate

const namesOf = (chain: readonly Uint8Array[]) => chain.map((der) => Buffer.from(der).toString())

test('gives the leaf, then each that has signed the one before', () => {
  const root = certificate('root')
  root.issuerCertificate = root

  assert.deepEqual(namesOf(serverChain(certificate('leaf', certificate('intermediate', root)))), ['leaf', 'intermediate', 'root'])
  assert.deepEqual(namesOf(serverChain(certificate('leaf'))), ['leaf'])
})

test('gives nothing for a server that has shown nothing, or a socket that is gone', () => {
  assert.deepEqual(serverChain({}), [])
  assert.deepEqual(serverChain(null), [])
})

test('stops after nine, and so in circles', () => {
  const [one, other] = [certificate('one'), certificate('other')]
  one.issuerCertificate = other
  other.issuerCertificate = one

  assert.equal(serverChain(one).length, 9)
})
