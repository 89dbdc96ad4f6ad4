import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { Rows } from '../../examples/emojivoto/rows.ts'

const ROOT = join(import.meta.dirname, '../..')

async function demo(...options: string[]): Promise<{ code: number | null; stdout: string; stderr: string; pid: number }> {
  const child = spawn(process.execPath, ['examples/emojivoto/demo.ts', ...options], { cwd: ROOT, detached: true })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code, stdout, stderr, pid: child.pid as number }
}

test('emojivoto runs, prints one JSON document and leaves nothing running', async () => {
  const { code, stdout, stderr, pid } = await demo('--seconds', '8', '--json')

  assert.equal(stderr, '')
  assert.equal(code, 0)
  assert.throws(() => process.kill(-pid, 0), { code: 'ESRCH' })
  const { services, edges } = JSON.parse(stdout) as Rows
  const success = Object.fromEntries(services.map((service) => [service.name, service.success]))
  assert.equal(success.emoji, 1)
  assert.equal(success['vote-bot'], null)
  // the doughnut fails, and nothing else does, although a replica was killed
  assert.ok((success.voting ?? 0) > 0.5 && (success.voting ?? 1) < 1)
  assert.deepEqual(edges.map(({ from, to }) => `${from} -> ${to}`).sort(), ['vote-bot -> web', 'web -> emoji', 'web -> voting'])
  for (const { rps, p50Ms, p99Ms } of edges) assert.ok(rps > 0 && (p50Ms ?? 0) > 0 && (p99Ms ?? 0) >= (p50Ms ?? 0))
})

test('the demo says what is wrong with its options', async () => {
  const { code, stderr } = await demo('--seconds', 'soon')

  assert.equal(code, 2)
  assert.match(stderr, /^demo: --seconds: expected a number from 0 to 86400, got soon\nusage: /)
})
