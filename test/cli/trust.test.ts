import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { inmesh, inmeshAt, workDirectory } from './command-line.ts'

const work = workDirectory()
const clock = new VirtualClock()
const at = (...parts: string[]) => join(work, ...parts)
const trust = (...args: string[]) => inmeshAt(clock, ['ca', 'trust', ...args])
const anchorsOf = async (...args: string[]) => JSON.parse((await trust('list', ...args, '--json')).out).anchors

before(async () => {
  for (const dir of ['old', 'new']) await inmeshAt(clock, ['ca', 'init', '--dir', at(dir), '--trust-domain', 'prod.example'])
  await inmeshAt(clock, ['ca', 'init', '--dir', at('foreign'), '--trust-domain', 'other.example'])
})

describe('ca trust of a bundle', () => {
  test('carries a trust domain from one root to the next without a moment in which a leaf is not believed', async () => {
    const bundle = ['--bundle', at('old', 'ca.crt')]
    for (const dir of ['old', 'new']) {
      await inmeshAt(clock, ['ca', 'issue', '--dir', at(dir), '--service', 'web', '--out', at(`of-${dir}`)])
    }
    const believed = async () =>
      Promise.all(
        ['of-old', 'of-new'].map(async (dir) => {
          return (await inmeshAt(clock, ['ca', 'inspect', at(dir, 'tls.crt'), '--trust', at('old', 'ca.crt')])).code === 0
        }),
      )

    assert.deepEqual(await believed(), [true, false])
    const added = await trust('add', at('new', 'ca.crt'), ...bundle)
    assert.match(added.out, /√ added CN=inmesh root of prod\.example, serial \w+\n.*2 trusted/)
    assert.match(added.out, /remove an old one once its last leaf has run out/)
    assert.deepEqual(await believed(), [true, true])

    assert.equal((await trust('remove', at('old', 'root.crt'), ...bundle)).code, 0)
    assert.deepEqual(await believed(), [false, true])
  })

  test('adds a root once, and makes a bundle that is missing', async () => {
    const bundle = ['--bundle', at('made.crt')]

    await trust('add', at('new', 'root.crt'), ...bundle)
    const again = await trust('add', at('new', 'root.crt'), ...bundle)

    assert.deepEqual([again.code, (await anchorsOf(...bundle)).length], [0, 1])
    assert.match(again.out, /nothing to add: it is trusted already/)
  })

  test('keeps what stands around the certificates of a bundle', async () => {
    writeFileSync(at('noted.crt'), `# the root of 2030\r\n${readFileSync(at('new', 'root.crt'), 'utf8').trim()}`)

    await inmeshAt(clock, ['ca', 'init', '--dir', at('next'), '--trust-domain', 'prod.example'])
    await trust('add', at('next', 'root.crt'), '--bundle', at('noted.crt'))

    assert.match(readFileSync(at('noted.crt'), 'utf8'), /^# the root of 2030\r\n/)
    assert.equal((await anchorsOf('--bundle', at('noted.crt'))).length, 2)
  })

  test('removes by serial number or by the beginning of the fingerprint', async () => {
    for (const key of ['serial', 'fingerprint']) {
      const bundle = ['--bundle', at(`by-${key}.crt`)]
      await trust('add', at('new', 'root.crt'), ...bundle)
      await inmeshAt(clock, ['ca', 'init', '--dir', at(`for-${key}`), '--trust-domain', 'prod.example'])
      await trust('add', at(`for-${key}`, 'root.crt'), ...bundle)
      const [first] = await anchorsOf(...bundle)

      const { code } = await trust('remove', key === 'serial' ? first.serial : first.fingerprint.slice(0, 12), ...bundle)

      const rest = await anchorsOf(...bundle)
      assert.deepEqual([code, rest.length, rest[0].serial === first.serial], [0, 1, false])
    }
  })

  test('never removes the last root', async () => {
    const { code, err } = await trust('remove', at('new', 'root.crt'), '--bundle', at('new', 'ca.crt'))

    assert.equal(code, 1)
    assert.match(err, /only trust anchor, and nobody would be believed: add another first/)
  })

  test('takes CAs alone, valid ones, of one trust domain', async () => {
    const bundle = ['--bundle', at('new', 'ca.crt')]
    await inmeshAt(clock, ['ca', 'issue', '--dir', at('new'), '--service', 'leaf', '--out', at('leaf')])
    const later = new VirtualClock()
    later.epoch += 11 * 365 * 86_400_000

    const leaf = await trust('add', at('leaf', 'tls.crt'), ...bundle)
    const foreign = await trust('add', at('foreign', 'root.crt'), ...bundle)
    const expired = await inmeshAt(later, ['ca', 'trust', 'add', at('old', 'root.crt'), ...bundle])

    assert.deepEqual([leaf.code, foreign.code, expired.code], [1, 1, 1])
    assert.match(leaf.err, /no trust anchor: it is not a CA/)
    assert.match(foreign.err, /trust domain other\.example, and this bundle of prod\.example/)
    assert.match(expired.err, /no trust anchor: it expired/)
    assert.equal((await anchorsOf(...bundle)).length, 1)
  })

  for (const [args, said] of [
    [['lst'], /unknown action "lst", did you mean list\?/],
    [['remove'], /remove which\?/],
    [['list', 'a.crt'], /give the file as --bundle/],
    [['add', '--bundle', 'a.crt'], /add which\?/],
    [['add', 'a.crt'], /leave out the file, or give --bundle/],
  ] as const) {
    test(`refuses \`${args.join(' ')}\` as a wrong command line`, async () => {
      const { code, err } = await trust(...args)

      assert.equal(code, 2)
      assert.match(err, said)
    })
  }
})

describe("ca trust of this machine's own CA", () => {
  const runtime = ownRuntimeDirectory()

  test('makes nothing by being listed', async () => {
    const { code, out } = await inmesh(work, ['ca', 'trust'], { INMESH_RUNTIME_DIR: at('nowhere') })

    assert.deepEqual([code, existsSync(at('nowhere'))], [0, false])
    assert.match(out, /no trust anchor yet/)
  })

  test('makes the next root and removes the old one', async () => {
    await trust('add')
    await trust('add')
    const [first, second] = await anchorsOf()

    assert.deepEqual(readdirSync(join(runtime, 'ca', 'inmesh.local')).sort(), ['1.pem', '2.pem'])
    assert.equal((await trust('remove', first.serial)).code, 0)
    assert.deepEqual(await anchorsOf(), [second])
    assert.match((await trust('remove', second.serial)).err, /only trust anchor/)
  })
})
