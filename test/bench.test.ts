import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { median, quantile } from '../bench/support/statistics.ts'

const BENCH = join(import.meta.dirname, '..', 'bench', 'index.ts')

describe('npm run bench', () => {
  test('lists the benches', async () => {
    const { code, stdout } = await bench('--list')

    assert.equal(code, 0)
    for (const name of ['balance', 'memory', 'overhead', 'pick', 'rotation', 'tls'])
      assert.match(stdout, new RegExp(`^ *${name} +\\S`, 'm'))
  })

  test('refuses a name that it does not know and says which there are', async () => {
    const { code, stdout, stderr } = await bench('speed')

    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^no bench speed; there are: .*\boverhead\b/)
  })

  test('refuses an option that it does not know', async () => {
    assert.notEqual((await bench('--jsno')).code, 0)
  })

  test('refuses a time that is none', async () => {
    const { code, stderr } = await bench('pick', '--seconds', 'long')

    assert.equal(code, 1)
    assert.match(stderr, /^--seconds: expected a number above 0 and below 100000, got long/)
  })
})

describe('the statistics of a bench', () => {
  test('interpolate between the numbers', () => {
    assert.equal(median([4, 1, 3, 2]), 2.5)
    assert.equal(quantile([10, 20, 30], 0.25), 15)
    assert.equal(quantile([7], 0.9), 7)
  })
})

function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BENCH, ...args], (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    )
  })
}
