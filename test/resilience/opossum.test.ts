import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import type { Call } from '../../src/core/call.ts'
import { MeshError } from '../../src/core/errors.ts'
import type { ServiceBreaker } from '../../src/core/service-breaker.ts'
import { CANCELLED, ERROR_STATUS, OK, OVERLOADED, type Verdict } from '../../src/core/verdict.ts'
import { type OpossumBreakerOptions, opossumBreaker } from '../../src/resilience/opossum.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'

const call: Call = { authority: 'voting', method: 'GET', path: '/api', idempotent: true, header: () => undefined }

/** opossum reads the machine's clock and starts the machine's timers: these are turned by hand. */
function breakerOf(t: TestContext, options?: Partial<OpossumBreakerOptions>): ServiceBreaker {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] })
  const breaker = opossumBreaker(options)(virtualRuntime())
  t.after(() => breaker.close())
  return breaker
}

/** One whole call; false when it was refused. */
async function sent(breaker: ServiceBreaker, verdict: Verdict): Promise<boolean> {
  const permit = breaker.admit()
  permit?.end(verdict)
  await settle()
  return permit !== undefined
}

async function sentTimes(breaker: ServiceBreaker, times: number, verdict: Verdict): Promise<void> {
  for (let i = 0; i < times; i++) await sent(breaker, verdict)
}

test('admits everything that succeeds', async (t) => {
  const breaker = breakerOf(t)

  for (let i = 0; i < 50; i++) assert.equal(await sent(breaker, OK), true)

  assert.equal(breaker.state, 'closed')
})

test('opens at the tenth call when all have failed, not at the ninth', async (t) => {
  const breaker = breakerOf(t)

  await sentTimes(breaker, 9, ERROR_STATUS)
  assert.equal(breaker.state, 'closed')
  await sentTimes(breaker, 1, ERROR_STATUS)

  assert.equal(breaker.state, 'open')
  assert.equal(breaker.admit(), undefined)
})

test('opens before the next call asks', (t) => {
  const breaker = breakerOf(t, { minCalls: 1 })

  breaker.admit()?.end(ERROR_STATUS)

  assert.equal(breaker.admit(), undefined)
})

test('opens when more than half have failed, not at half', async (t) => {
  const breaker = breakerOf(t)

  await sentTimes(breaker, 10, OK)
  await sentTimes(breaker, 10, ERROR_STATUS)
  assert.equal(breaker.state, 'closed')
  await sentTimes(breaker, 1, ERROR_STATUS)

  assert.equal(breaker.state, 'open')
})

test('forgets what is older than the window', async (t) => {
  const breaker = breakerOf(t)
  await sentTimes(breaker, 9, ERROR_STATUS)

  t.mock.timers.tick(10_000)
  await sentTimes(breaker, 9, ERROR_STATUS)

  assert.equal(breaker.state, 'closed')
})

test('holds overload against the service', async (t) => {
  const breaker = breakerOf(t)

  await sentTimes(breaker, 10, OVERLOADED)

  assert.equal(breaker.state, 'open')
})

test('counts ignored calls neither as failures nor among the calls', async (t) => {
  const breaker = breakerOf(t)

  await sentTimes(breaker, 100, CANCELLED)
  await sentTimes(breaker, 9, ERROR_STATUS)
  assert.equal(breaker.state, 'closed')
  await sentTimes(breaker, 1, ERROR_STATUS)

  assert.equal(breaker.state, 'open')
})

test('lets one call through after the reset time, and no other while it is under way', async (t) => {
  const breaker = breakerOf(t)
  await sentTimes(breaker, 10, ERROR_STATUS)

  t.mock.timers.tick(29_999)
  assert.equal(breaker.admit(), undefined)
  t.mock.timers.tick(1)

  assert.equal(breaker.state, 'half-open')
  assert.notEqual(breaker.admit(), undefined)
  assert.equal(breaker.admit(), undefined)
})

test('closes when the call let through succeeds', async (t) => {
  const breaker = breakerOf(t)
  await sentTimes(breaker, 10, ERROR_STATUS)
  t.mock.timers.tick(30_000)

  assert.equal(await sent(breaker, OK), true)

  assert.equal(breaker.state, 'closed')
  assert.equal(await sent(breaker, OK), true)
})

test('opens again for the whole reset time when the call let through fails', async (t) => {
  const breaker = breakerOf(t)
  await sentTimes(breaker, 10, ERROR_STATUS)
  t.mock.timers.tick(30_000)

  await sent(breaker, ERROR_STATUS)

  assert.equal(breaker.state, 'open')
  t.mock.timers.tick(29_999)
  assert.equal(breaker.state, 'open')
  t.mock.timers.tick(1)
  assert.equal(await sent(breaker, OK), true)
  assert.equal(breaker.state, 'closed')
})

test('lets the next call through when the one let through says nothing', async (t) => {
  const breaker = breakerOf(t)
  await sentTimes(breaker, 10, ERROR_STATUS)
  t.mock.timers.tick(30_000)

  assert.equal(await sent(breaker, CANCELLED), true)
  assert.equal(await sent(breaker, OK), true)

  assert.equal(breaker.state, 'closed')
})

test('does not hear of calls that began before it opened', async (t) => {
  const breaker = breakerOf(t)
  const late = breaker.admit()
  const later = breaker.admit()
  await sentTimes(breaker, 10, ERROR_STATUS)

  late?.end(OK)
  await settle()
  assert.equal(breaker.state, 'open')
  t.mock.timers.tick(30_000)
  later?.end(OK)
  await settle()

  assert.equal(breaker.state, 'half-open')
})

test('never admits a second call while the one let through is under way', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('end' as const), verdict: fc.constantFrom(OK, ERROR_STATUS, CANCELLED) }),
    fc.constant({ kind: 'admit' as const }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 2_000 }) }),
  )
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 100, size: 'max' }), async (steps) => {
      const breaker = opossumBreaker({ minCalls: 2, windowMs: 1_000, resetMs: 1_000 })(virtualRuntime())
      const under: { end(verdict: Verdict): void }[] = []
      let probe: object | undefined
      for (const step of steps) {
        if (step.kind === 'pass') t.mock.timers.tick(step.ms)
        if (step.kind === 'end') {
          const permit = under.shift()
          permit?.end(step.verdict)
          await Promise.resolve().then(() => undefined)
          if (permit === probe) probe = undefined
        }
        if (step.kind === 'admit') {
          const halfOpen = breaker.state === 'half-open'
          const permit = breaker.admit()
          if (permit === undefined) continue
          under.push(permit)
          if (halfOpen) {
            assert.equal(probe, undefined)
            probe = permit
          }
        }
      }
      breaker.close()
    }),
    { numRuns: 200 },
  )
})

test('has no answer of its own by default', (t) => {
  const error = MeshError.refusal('INMESH_BREAKER_OPEN', 'voting: breaker is open')

  assert.equal(breakerOf(t).answer(call, error), undefined)
  assert.equal(error.cause, undefined)
})

test('answers with a value', (t) => {
  const fallback = { status: 200, headers: { 'content-type': 'application/json' }, body: '[]' }

  assert.equal(breakerOf(t, { fallback }).answer(call, MeshError.refusal('INMESH_BREAKER_OPEN', 'open')), fallback)
})

test('answers with what a function makes of the call and the error', (t) => {
  const breaker = breakerOf(t, {
    fallback: ({ path }, { message }) => ({ status: 503, body: Buffer.from(`${path} ${message}`) }),
  })

  const answer = breaker.answer(call, MeshError.refusal('INMESH_BREAKER_OPEN', 'open'))

  assert.deepEqual(answer, { status: 503, body: Buffer.from('/api open') })
})

test('names the error of a function that throws as the cause', (t) => {
  const bug = new Error('bug')
  const breaker = breakerOf(t, {
    fallback: () => {
      throw bug
    },
  })
  const error = MeshError.refusal('INMESH_BREAKER_OPEN', 'open')

  assert.equal(breaker.answer(call, error), undefined)
  assert.equal(error.cause, bug)
})

for (const answer of [undefined, { status: 42 }, { body: 'no status' }, Promise.resolve({ status: 200 })]) {
  test(`names ${JSON.stringify(answer)} of a function as the cause: it is no answer`, (t) => {
    const breaker = breakerOf(t, { fallback: () => answer as { status: number } })
    const error = MeshError.refusal('INMESH_BREAKER_OPEN', 'open')

    assert.equal(breaker.answer(call, error), undefined)
    assert.match((error.cause as Error).message, /^opossumBreaker\.fallback: expected /)
  })
}

test('admits everything once it is closed down, and closes down twice', async (t) => {
  const breaker = breakerOf(t)
  await sentTimes(breaker, 10, ERROR_STATUS)
  t.mock.timers.tick(30_000)
  const probe = breaker.admit()

  breaker.close()
  breaker.close()
  probe?.end(OK)

  for (let i = 0; i < 20; i++) assert.equal(await sent(breaker, ERROR_STATUS), true)
})

test('does not hold the process, open or closed, and leaves no timer when it is closed down', () => {
  const script = `
    import { opossumBreaker } from ${JSON.stringify(new URL('../../src/resilience/opossum.ts', import.meta.url).href)}
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const make = () => opossumBreaker({ minCalls: 1, windowMs: 60_000, resetMs: 60_000 })()
    const breaker = make()
    breaker.admit().end({ outcome: 'failure' })
    console.log(breaker.state, timers())
    breaker.close()
    make().admit().end({ outcome: 'failure' })
    make()`
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  })

  assert.deepEqual({ stdout, stderr, status, signal }, { stdout: 'open 0\n', stderr: '', status: 0, signal: null })
})

for (const [options, message] of [
  [{ errorPercent: 0 }, 'opossumBreaker.errorPercent: expected a number from 1 to 99, got 0'],
  [{ errorPercent: 0.5 }, 'opossumBreaker.errorPercent: expected a number from 1 to 99, got 0.5'],
  [{ minCalls: 0 }, 'opossumBreaker.minCalls: expected an integer >= 1, got 0'],
  [{ windowMs: 10 }, 'opossumBreaker.windowMs: expected milliseconds from 100 to 2147483647, got 10'],
  [{ fallback: 'sorry' }, 'opossumBreaker.fallback: expected a function or an answer { status, headers, body }, got "sorry"'],
  [
    { fallback: { status: 99, body: 1 } },
    'opossumBreaker.fallback: expected an answer { status, headers, body } (answer.status: expected an integer from 200 to 599, got 99; ' +
      'answer.body: expected a string or a Buffer, got 1), got an object',
  ],
] as const) {
  test(`refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => opossumBreaker(options as Partial<OpossumBreakerOptions>), { code: 'INMESH_CONFIG', message })
  })
}
