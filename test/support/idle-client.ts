// A process of its own: makes one call through a mesh dispatcher, closes nothing, and is expected to end by itself.
import type { TestContext } from 'node:test'
import { request } from 'undici'
import { engine } from './engine.ts'

const { dispatcher } = engine({ after() {} } as unknown as TestContext, {
  addresses: [Number(process.argv[2])],
  timeoutMs: 60_000,
  perTryTimeoutMs: 60_000,
})
const { body } = await request('http://voting/', { dispatcher })
console.log(await body.text())
