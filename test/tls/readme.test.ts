import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { environmentIdentity } from './environment-identity.ts'
import { sourceConformance } from './source-conformance.ts'
import { type Made, makeLeaf, makeRoot } from './test-certificates.ts'

const ID = 'spiffe://mesh.test/ns/default/sa/web'
const root = makeRoot()

sourceConformance("the README's source", async () => {
  const give = ({ pem, keyPem }: Made) => Object.assign(process.env, { MESH_CERT: pem, MESH_KEY: keyPem, MESH_CA: root.pem })
  const giveAnother = () => void give(makeLeaf(root, ID))
  giveAnother()
  return {
    factory: environmentIdentity('mesh.test'),
    id: ID,
    rotate: giveAnother,
    fail: () => {
      process.env.MESH_KEY = makeRoot().keyPem
    },
    recover: giveAnother,
    close: () => {
      for (const name of ['MESH_CERT', 'MESH_KEY', 'MESH_CA']) delete process.env[name]
    },
  }
})

test('the README shows the source that is tested, to the letter', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
  const tested = read('environment-identity.ts')
    .replace('../../src/core/identity.ts', 'inmesh')
    .replace('../../src/tls/identity-of.ts', 'inmesh/tls/identity-of')

  assert.ok(read('../../src/tls/README.md').includes(`\`\`\`ts\n${tested}\`\`\``))
})

test('the README links every source', () => {
  const readme = readFileSync(new URL('../../src/tls/README.md', import.meta.url), 'utf8')

  for (const name of ['local-ca', 'files', 'spiffe']) assert.ok(readme.includes(`](${name}.ts)`), name)
})
