import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MeshError } from '../../src/core/errors.ts'
import { file } from '../../src/discovery/file.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { conformance } from './conformance.ts'
import { names, Updates } from './updates.ts'

for (const [kind, write] of [
  ['json', (services: object) => JSON.stringify({ services })],
  [
    'yaml',
    (services: object) =>
      `services:\n${Object.entries(services).map(([k, v]) => `  ${k}: [${v.map((a: string) => `'${a}'`)}]\n`)}`,
  ],
] as const) {
  conformance(`file (${kind})`, async (addresses) => {
    const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
    const path = join(directory, `services.${kind}`)
    const change = (list: readonly string[]) => writeFileSync(path, write({ voting: list }))
    change(addresses)
    return {
      factory: file({ path }),
      service: 'voting',
      change,
      fail: () => writeFileSync(path, '{ "services": { "voting": ['),
      close: () => rmSync(directory, { recursive: true }),
    }
  })
}

function setUp(t: TestContext, name: string, text?: string, service = 'voting') {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  const path = join(directory, name)
  if (text !== undefined) writeFileSync(path, text)
  const runtime = virtualRuntime()
  const updates = new Updates(runtime.clock, file({ path })(runtime), service)
  t.after(() => {
    updates.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  return { directory, path, updates, runtime }
}

test('reads everything that YAML can say of an address', async (t) => {
  const { updates } = setUp(
    t,
    'services.yaml',
    `
# two ways to write an address
services:
  voting:
    - 10.0.0.7:8080
    - { host: '::1', port: 8080, weight: 2, zone: eu-west-1a, metadata: { version: v2 } }
    - 10.0.0.7:8080
  emoji: []
`,
  )

  assert.deepEqual(await updates.next(), {
    addresses: [
      { host: '10.0.0.7', port: 8080 },
      { host: '::1', port: 8080, weight: 2, zone: 'eu-west-1a', metadata: { version: 'v2' } },
    ],
  })
})

test('sees a change at once, without a poll', async (t) => {
  const { path, updates, runtime } = setUp(t, 'services.json', '{"services":{"voting":["10.0.0.1:80"]}}')
  await updates.soon()

  writeFileSync(`${path}.new`, '{"services":{"voting":["10.0.0.2:80"]}}')
  renameSync(`${path}.new`, path)

  assert.deepEqual(names(await updates.soon()), ['10.0.0.2:80'])
  assert.equal(runtime.clock.now(), 0)
})

test('follows the links of a Kubernetes volume', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  for (const version of ['1', '2']) {
    mkdirSync(join(directory, `..v${version}`))
    writeFileSync(join(directory, `..v${version}`, 'services.yaml'), `services: { voting: ['10.0.0.${version}:80'] }`)
  }
  symlinkSync('..v1', join(directory, '..data'))
  symlinkSync('..data/services.yaml', join(directory, 'services.yaml'))
  const runtime = virtualRuntime()
  const updates = new Updates(runtime.clock, file({ path: join(directory, 'services.yaml') })(runtime), 'voting')
  t.after(() => updates.stop())
  const before = names(await updates.soon())

  symlinkSync('..v2', join(directory, '..data_tmp'))
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))

  assert.deepEqual([before, names(await updates.soon())], [['10.0.0.1:80'], ['10.0.0.2:80']])
  assert.equal(runtime.clock.now(), 0)
})

test('finds a change that the system does not tell of, by polling', async (t) => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  t.after(() => rmSync(elsewhere, { recursive: true }))
  const { path, updates } = setUp(t, 'services.json')
  writeFileSync(join(elsewhere, 'real.json'), '{"services":{"voting":["10.0.0.1:80"]}}')
  symlinkSync(join(elsewhere, 'real.json'), path)
  await updates.until('10.0.0.1:80')

  writeFileSync(join(elsewhere, 'real.json'), '{"services":{"voting":["10.0.0.2:80"]}}')

  await updates.until('10.0.0.2:80')
})

test('waits for a file and a directory that are not there yet', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'later', 'services.json')
  const runtime = virtualRuntime()
  const updates = new Updates(runtime.clock, file({ path })(runtime), 'voting')
  t.after(() => updates.stop())

  const error = await updates.error()
  mkdirSync(join(directory, 'later'))
  writeFileSync(path, '{"services":{"voting":["10.0.0.1:80"]}}')
  await updates.until('10.0.0.1:80')

  assert.ok(error instanceof MeshError)
  assert.equal(error.code, 'INMESH_DISCOVERY')
  assert.equal(error.message, `voting: file: ${path}: can't be read (ENOENT)`)
})

test('has no endpoint for a service that is not in the file', async (t) => {
  const { updates } = setUp(t, 'services.json', '{"services":{"emoji":["10.0.0.1:80"]}}')

  assert.deepEqual(await updates.next(), { addresses: [] })
})

test('finds a service by its name when it is asked for its authority', async (t) => {
  const { updates } = setUp(t, 'services.json', '{"services":{"voting":["10.0.0.1:80"]}}', 'voting:8080')

  assert.deepEqual(await updates.set(), ['10.0.0.1:80'])
})

test('keeps the last good content while the file is half-written, and says so once', async (t) => {
  const { path, updates } = setUp(t, 'services.json', '{"services":{"voting":["10.0.0.1:80"]}}')
  await updates.set()

  writeFileSync(path, '{"services":{"voting":["10.0.0.2')
  await updates.error()
  await updates.pass(20_000)

  // Emptied and then filled, a write may be seen half-way: what counts is that no set came.
  assert.equal(updates.all.filter((update) => 'addresses' in update).length, 1)
  assert.ok(updates.all.length <= 3, `${updates.all.length} updates`)
})

const BAD: readonly [behaviour: string, name: string, text: string, message: RegExp][] = [
  ['an empty file', 's.json', ' \n', /s\.json: is empty$/],
  ['an empty YAML file', 's.yaml', '', /s\.yaml: is empty$/],
  ['half of a JSON file, with the place', 's.json', '{\n  "services": {\n    "voting": [x\n', /Unexpected token 'x'.*/],
  ['half of a YAML file, with the place', 's.yaml', 'services:\n  voting: [10.0.0.1:80\n', /at line 3, column 1$/],
  ['a YAML key that is there twice', 's.yml', 'services:\n  a: []\n  a: []\n', /Map keys must be unique at line 3, column 3$/],
  ['another kind of document', 's.json', '[]', /expected an object with services, got an array$/],
  ['a scalar', 's.yaml', 'voting', /expected an object with services, got "voting"$/],
  ['no services', 's.json', '{}', /services: expected an object, got undefined$/],
  ['an unknown key', 's.json', '{"services":{},"service":{}}', /service: unknown, expected services$/],
  [
    'a service that is no list',
    's.yaml',
    'services: { voting: 10.0.0.1:80 }',
    /services\.voting: expected an array of addresses, got "10/,
  ],
  [
    'a bad address in another service',
    's.yaml',
    'services: { voting: [], emoji: [a:1, b] }',
    /services\.emoji\[1\]: expected host:port, got "b"$/,
  ],
  [
    'a bad field',
    's.json',
    '{"services":{"v":[{"host":"a","port":"80"}]}}',
    /services\.v\[0\]\.port: expected an integer from 1 to 65535, got "80"$/,
  ],
  ['YAML that grows without bound', 's.yaml', bomb(), /Excessive alias count/],
]

for (const [behaviour, name, text, message] of BAD) {
  test(`names the file and the place for ${behaviour}`, async (t) => {
    const { path, updates } = setUp(t, name, text)

    const error = await updates.error()

    assert.ok(error.message.startsWith(`voting: file: ${path}: `), error.message)
    assert.match(error.message, message)
  })
}

function bomb(): string {
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x]']
  for (const [i, letter] of [...'bcdefgh'].entries()) lines.push(`${letter}: &${letter} [${Array(9).fill(`*${'abcdefg'[i]}`)}]`)
  return lines.join('\n')
}

test('says that it is a directory', async (t) => {
  const { path, updates } = setUp(t, 's.json')
  mkdirSync(path)

  assert.match((await updates.error()).message, /s\.json: can't be read \((EISDIR|ENOENT)\)$/)
})

test('refuses bad options', () => {
  assert.throws(() => file({} as never), { code: 'INMESH_CONFIG', message: 'file.path: missing' })
  assert.throws(() => file(undefined as never), { code: 'INMESH_CONFIG', message: 'file.path: missing' })
  assert.throws(() => file({ path: 1, poll: 2 } as never), {
    code: 'INMESH_CONFIG',
    message: 'file.path: expected a string that is not empty, got 1\nfile.poll: unknown option, expected one of path',
  })
})
