import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MeshError } from '../src/core/errors.ts'
import { emptyBudget } from '../src/resilience/retry-budget.ts'
import { type StrategyRole, strategyGiven, strategyNamed } from '../src/strategies.ts'
import { virtualRuntime } from './support/virtual-time.ts'

type Written = Parameters<typeof strategyNamed>[1]

function made(role: StrategyRole, written: Written): Record<string, unknown> {
  const strategy = strategyNamed(role, written, 'here')
  return (strategy as (...parts: unknown[]) => Record<string, unknown>)(virtualRuntime(), emptyBudget)
}

function problem(role: StrategyRole, written: Written): string {
  try {
    strategyNamed(role, written, 'here')
  } catch (error) {
    assert.ok(error instanceof MeshError)
    assert.equal(error.code, 'INMESH_CONFIG')
    return error.message
  }
  return assert.fail('no problem')
}

describe('a name', () => {
  const known: [StrategyRole, string, string][] = [
    ['balancer', 'p2c', 'pick'],
    ['balancer', 'ring-hash', 'pick'],
    ['balancer', 'round-robin', 'pick'],
    ['balancer', 'least-request', 'pick'],
    ['balancer', 'random', 'pick'],
    ['discovery', 'dns', 'watch'],
    ['discovery', 'srv', 'watch'],
    ['discovery', 'local', 'watch'],
    ['breaker', 'consecutive-failures', 'acquire'],
    ['serviceBreaker', 'opossum', 'admit'],
    ['retry', 'retry', 'next'],
    ['hedge', 'hedge', 'covers'],
    ['retryBudget', 'retry-budget', 'withdraw'],
  ]
  for (const [role, name, method] of known) {
    test(`${name} is a ${role}`, () => {
      const strategy = made(role, name)

      assert.equal(typeof strategy[method], 'function')
      if (typeof strategy.close === 'function') strategy.close()
    })
  }

  test('takes options', () => {
    assert.equal(typeof made('discovery', { static: ['10.0.0.7:8080'] }).watch, 'function')
    assert.equal(typeof made('discovery', { file: { path: 'x.yaml' } }).watch, 'function')
    assert.equal(typeof made('retry', { retry: { attempts: 3 } }).next, 'function')
    assert.equal(typeof made('hedge', { hedge: { delayMs: 30 } }).delayMs, 'function')
  })

  test('that is unknown is answered with those that are known for this option', () => {
    assert.equal(
      problem('balancer', 'p3c'),
      'here: expected one of least-request, p2c, random, ring-hash, round-robin, got "p3c"',
    )
    assert.equal(problem('retry', ''), 'here: expected one of retry, got ""')
    assert.equal(problem('hedge', 'retry'), 'here: expected one of hedge, got "retry"')
    assert.match(
      problem('discovery', 'zookeeper'),
      /^here: expected one of dns, file, first, local, srv, static, got "zookeeper"$/,
    )
  })

  test('of what is no strategy, or one for another option, is unknown', () => {
    for (const name of ['backoff', 'retry-loop', 'retry', 'retry-budget', 'opossum', 'hedge', 'answer-times', 'resent']) {
      assert.equal(problem('breaker', name), `here: expected one of consecutive-failures, got "${name}"`)
    }
    assert.equal(problem('serviceBreaker', 'consecutive-failures'), 'here: expected one of opossum, got "consecutive-failures"')
    assert.equal(problem('retry', 'retry-budget'), 'here: expected one of retry, got "retry-budget"')
    assert.match(problem('discovery', 'announce-server'), /got "announce-server"$/)
  })

  test('does not lead out of its folder', () => {
    for (const name of [
      '../core/gate',
      'load/peak-ewma',
      'around/zones',
      '/etc/passwd',
      'P2C',
      'p2c.ts',
      '__proto__',
      'README',
    ]) {
      assert.equal(
        problem('balancer', name),
        `here: expected one of least-request, p2c, random, ring-hash, round-robin, got "${name}"`,
      )
    }
  })
})

test('says where the options of a strategy are wrong, each on its line', () => {
  assert.deepEqual(problem('retry', { retry: { attempts: 0, tries: 2 } }).split('\n'), [
    'here.retry.attempts: expected an integer from 1 to 100, got 0',
    'here.retry.tries: unknown option, expected one of attempts, backoff, maxRetryAfterMs',
  ])
  assert.equal(problem('discovery', { static: ['a'] }), 'here.static[0]: expected host:port, got "a"')
  assert.equal(problem('discovery', 'file'), 'here.file.path: missing')
})

test('takes one name at a time', () => {
  assert.equal(problem('balancer', {}), "here: expected one strategy's name with its options, got 0 keys")
  assert.equal(problem('balancer', { p2c: {}, random: {} }), "here: expected one strategy's name with its options, got 2 keys")
})

describe('a function', () => {
  function got(role: StrategyRole, factory: unknown): string {
    try {
      strategyGiven(role, factory, 'here')
    } catch (error) {
      assert.ok(error instanceof MeshError)
      return error.message.replace(/^here: expected a function that makes an object with .*, got /, '')
    }
    return 'a strategy'
  }

  test('is taken for what it makes', () => {
    const factory = () => ({ update() {}, pick: () => undefined })

    assert.equal(strategyGiven('balancer', factory, 'here'), factory)
  })

  test('that makes something else is told apart', () => {
    assert.equal(
      got('discovery', () => null),
      'one that makes null',
    )
    assert.equal(
      got('discovery', () => undefined),
      'one that makes undefined',
    )
    assert.equal(
      got('discovery', () => () => ({ watch() {} })),
      'one that makes a function (was it called?)',
    )
    assert.equal(
      got('discovery', async () => Promise.reject(new Error('late'))),
      'one that makes a promise',
    )
    assert.equal(
      got('discovery', () => {
        throw new Error('no token')
      }),
      'one that throws "no token"',
    )
  })

  test('is tried once, without watching anything, and what it made is closed', () => {
    const seen: string[] = []
    const discovery = () => {
      seen.push('made')
      return { watch: () => seen.push('watched') }
    }
    const breaker = () => ({ admit() {}, answer() {}, close: () => seen.push('closed') })

    strategyGiven('discovery', discovery, 'here')
    strategyGiven('serviceBreaker', breaker, 'here')

    assert.deepEqual(seen, ['made', 'closed'])
  })
})
