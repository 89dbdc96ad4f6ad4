import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { suggestion } from '../../src/cli/suggestion.ts'
import { printable } from '../../src/core/printable.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { inmesh, inmeshAt, workDirectory } from './command-line.ts'

const COMMANDS = ['ca init', 'ca inspect', 'ca issue', 'ca trust', 'identity']
const cwd = workDirectory()
const ESCAPE = '\u001b['

describe('the program', () => {
  test('lists every command with a line of its own, on its output when asked and as an error when not', async () => {
    const asked = await inmesh(cwd, ['--help'])
    const bare = await inmesh(cwd, [])

    assert.deepEqual([asked.code, asked.err, bare.code, bare.out], [0, '', 2, ''])
    assert.equal(bare.err, asked.out)
    for (const command of COMMANDS) assert.match(asked.out, new RegExp(`^  ${command} +\\w.{10,}$`, 'm'))
  })

  test('lists a group of commands', async () => {
    const { code, out } = await inmesh(cwd, ['ca', '--help'])

    assert.equal(code, 0)
    assert.deepEqual(
      out.match(/^ {2}ca \w+/gm)?.map((line) => line.trim()),
      COMMANDS.slice(0, 4),
    )
  })

  test('says its version', async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string }

    assert.equal((await inmesh(cwd, ['--version'])).out, `${version}\n`)
  })

  for (const command of COMMANDS) {
    test(`explains ${command} with all its options, whatever else is typed`, async () => {
      const { code, out, err } = await inmeshAt(new VirtualClock(), [...command.split(' '), '--nonsense', '--help'])

      assert.deepEqual([code, err], [0, ''])
      assert.match(out, new RegExp(`^usage {2}inmesh ${command}`))
      assert.match(out, /^ {2}--json +answer in JSON$/m)
    })
  }

  for (const [args, said] of [
    [['ca', 'isue'], 'inmesh ca: unknown command "isue", did you mean issue?; there are init, inspect, issue, trust'],
    [['stat'], 'inmesh: unknown command "stat"; there are ca, identity'],
    [['ca', 'init', '--trust-domian', 'a'], 'unknown option --trust-domian, did you mean --trust-domain?'],
    [['identity', '-x'], 'unknown option -x'],
    [['ca', 'init', '--dir'], '--dir needs a value'],
    [['ca', 'init', '--dir', '--force'], '--dir needs a value'],
    [['ca', 'init', '--json=yes'], '--json takes no value'],
    [['ca', 'init', 'here'], 'takes no arguments, got "here"'],
    [['ca', 'inspect'], 'expected <file | host:port>, got nothing'],
    [['ca', 'inspect', 'a', 'b'], 'expected <file | host:port>, got 2 arguments'],
  ] as const) {
    test(`refuses \`${args.join(' ')}\` in one line with exit code 2`, async () => {
      const { code, out, err } = await inmeshAt(new VirtualClock(), args)

      assert.deepEqual([code, out, err.split('\n').length], [2, '', 2])
      assert.ok(err.includes(said), err)
      assert.match(err, /--help\)$/m)
    })
  }

  test('colours its answers on a terminal alone', async () => {
    const clock = new VirtualClock()

    const coloured = await inmeshAt(clock, ['--help'], true)
    const piped = await inmesh(cwd, ['--help'], { FORCE_COLOR: '1' })

    assert.deepEqual([coloured.out.includes(ESCAPE), piped.out.includes(ESCAPE)], [true, false])
  })

  test('refuses a wrong command line in one line with exit code 2', async () => {
    const { code, out, err } = await inmesh(cwd, ['ca', 'isue'])

    assert.deepEqual([code, out, err.split('\n').length], [2, '', 2])
  })

  test('says in one line what can not be done, with exit code 1', async () => {
    const { code, err } = await inmesh(cwd, ['ca', 'inspect', 'missing.pem'])

    assert.deepEqual([code, err], [1, 'inmesh ca inspect: files: missing.pem: is missing (ENOENT)\n'])
  })
})

describe('a suggestion', () => {
  test('is made for one slip of the finger, whichever', () => {
    const word = 'inspect'
    const at = fc.integer({ min: 0, max: word.length - 1 })

    fc.assert(
      fc.property(at, fc.constantFrom('left out', 'put in', 'changed', 'swapped'), (i, slip) => {
        const rest = word.slice(i + 1)
        const typed = {
          'left out': rest,
          'put in': `x${word[i]}${rest}`,
          changed: `x${rest}`,
          swapped: `${rest[0] ?? ''}${word[i]}${rest.slice(1)}`,
        }

        assert.equal(suggestion(word.slice(0, i) + typed[slip], ['issue', word]), ', did you mean inspect?')
      }),
    )
  })

  test('is not made for a word that is far from all', () => {
    assert.equal(suggestion('dashboard', ['init', 'inspect']), '')
  })
})

describe('a printable text', () => {
  test('has nothing that a terminal obeys, whatever was in it', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !/[\p{Cc}\p{Cf}]/u.test(printable(text))))
  })

  test('is the text itself when it has nothing such', () => {
    assert.equal(printable('spiffe://a/ns/default/sa/ä'), 'spiffe://a/ns/default/sa/ä')
  })
})
