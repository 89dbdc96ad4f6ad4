import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { p2c } from '../src/balancer/p2c.ts'
import { roundRobin } from '../src/balancer/round-robin.ts'
import { type MeshOptions, readConfig } from '../src/config.ts'
import { Endpoint } from '../src/core/endpoint.ts'
import { MeshError } from '../src/core/errors.ts'
import { openGate } from '../src/core/gate.ts'
import { unmetered } from '../src/core/load.ts'
import { noRetry } from '../src/core/retry-policy.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { consecutiveFailures } from '../src/resilience/consecutive-failures.ts'
import { hedge } from '../src/resilience/hedge.ts'
import { retry } from '../src/resilience/retry.ts'
import { emptyBudget, retryBudget } from '../src/resilience/retry-budget.ts'
import { virtualRuntime } from './support/virtual-time.ts'

/** What is wrong, line by line; options as somebody might write them who has no types. */
function problems(options: unknown): string[] {
  try {
    readConfig(options as MeshOptions)
  } catch (error) {
    assert.ok(error instanceof MeshError)
    assert.equal(error.code, 'INMESH_CONFIG')
    return error.message.split('\n')
  }
  return []
}

function voting(service: object): unknown {
  return { services: { voting: service } }
}

describe('without options', () => {
  test('every default is there', () => {
    const { defaults, services, implicitServices } = readConfig({})
    const { timeoutMs, perTryTimeoutMs, connectTimeoutMs, protocol, tls, routes, serviceBreaker, hedge } = defaults

    assert.deepEqual([timeoutMs, perTryTimeoutMs, connectTimeoutMs, protocol, tls, routes], [0, 0, 1_000, 'http', undefined, []])
    assert.deepEqual([serviceBreaker, hedge], [undefined, undefined])
    for (const key of ['discovery', 'balancer', 'breaker', 'retry', 'retryBudget'] as const)
      assert.equal(typeof defaults[key], 'function')
    assert.equal(services.size, 0)
    assert.equal(implicitServices, true)
  })
})

describe('a service', () => {
  test('has what it says, else what the defaults say', () => {
    const balancer = p2c()
    const discovery = staticEndpoints([])
    const { services, defaults } = readConfig({
      defaults: { timeoutMs: 100, balancer, protocol: 'h2c' },
      services: { voting: { timeoutMs: 200, discovery, protocol: 'http' }, emoji: {} },
    })

    const read = services.get('voting')
    assert.deepEqual([read?.timeoutMs, read?.balancer, read?.discovery, read?.protocol], [200, balancer, discovery, 'http'])
    assert.deepEqual(services.get('emoji'), defaults)
    assert.equal(defaults.timeoutMs, 100)
  })

  test('takes undefined for not given', () => {
    const given = { timeoutMs: undefined, balancer: undefined, tls: undefined, routes: undefined, retry: undefined }

    assert.deepEqual(problems(voting(given)), [])
    assert.deepEqual(problems({ services: { voting: undefined }, defaults: undefined, name: undefined }), [])
  })

  test('may switch off breakers and retries, also those of the defaults', () => {
    const runtime = virtualRuntime()
    const off = { breaker: 'off', serviceBreaker: 'off', retry: 'off', hedge: 'off' } as const
    const { services, defaults } = readConfig({
      defaults: { serviceBreaker: 'opossum', hedge: 'hedge' },
      services: { voting: off, emoji: {} },
    })

    const read = services.get('voting')
    assert.equal(read?.breaker(runtime), openGate)
    assert.equal(read?.retry(runtime, emptyBudget), noRetry)
    assert.equal(read?.serviceBreaker, undefined)
    assert.equal(read?.hedge, undefined)
    assert.equal(services.get('emoji')?.hedge, defaults.hedge)
    assert.equal(defaults.hedge?.(runtime, emptyBudget).delayMs(1), -1)
  })

  test('takes strategies by name, with options or without', () => {
    const { services } = readConfig({
      services: {
        voting: {
          balancer: { 'ring-hash': { key: 'path' } },
          breaker: 'consecutive-failures',
          discovery: { static: ['10.0.0.7:80'] },
        },
      },
    })

    const read = services.get('voting')
    assert.equal(typeof read?.balancer(virtualRuntime()).pick, 'function')
    assert.equal(typeof read?.discovery(virtualRuntime()).watch, 'function')
    assert.equal(typeof read?.breaker(virtualRuntime()).acquire, 'function')
  })

  test('is named as the host of a URL reads', () => {
    for (const name of ['voting', 'voting:8080', 'voting.svc', '10.0.0.7', '[::1]', '[::1]:8080', 'a_b-c']) {
      assert.deepEqual(problems({ services: { [name]: {} } }), [], name)
    }
    for (const name of [
      '',
      'Voting',
      'http://voting',
      'voting:',
      'voting:0',
      'voting:65536',
      '::1',
      '[0:0::1]',
      'a b',
      'voting/x',
    ]) {
      assert.deepEqual(
        problems({ services: { [name]: {} } }),
        [`services.${name}: expected a host in lower case, with or without a port, got ${JSON.stringify(name)}`],
        name,
      )
    }
  })
})

describe('a mistake', () => {
  test('is told with its path and what was got', () => {
    const ms = 'milliseconds from 0 to 2147483647'
    const cases: [unknown, string][] = [
      [null, 'mesh: expected an object, got null'],
      ['voting', 'mesh: expected an object, got "voting"'],
      [
        { service: {} },
        'service: unknown option, expected one of name, zone, services, defaults, identity, mtls, implicitServices, inbound, drain',
      ],
      [{ zone: '' }, 'zone: expected a string that is not empty, got ""'],
      [{ name: '' }, 'name: expected a string that is not empty, got ""'],
      [{ services: [] }, 'services: expected an object, got an array'],
      [{ services: { voting: 5 } }, 'services.voting: expected an object, got 5'],
      [{ defaults: null }, 'defaults: expected an object, got null'],
      [{ implicitServices: 'yes' }, 'implicitServices: expected true or false, got "yes"'],
      [{ defaults: { timeoutMs: -1 } }, `defaults.timeoutMs: expected ${ms}, got -1`],
      [voting({ timeoutMs: Number.NaN }), `services.voting.timeoutMs: expected ${ms}, got NaN`],
      [voting({ timeoutMs: Number.POSITIVE_INFINITY }), `services.voting.timeoutMs: expected ${ms}, got Infinity`],
      [voting({ perTryTimeoutMs: '1s' }), `services.voting.perTryTimeoutMs: expected ${ms}, got "1s"`],
      [voting({ perTryTimeoutMs: null }), `services.voting.perTryTimeoutMs: expected ${ms}, got null`],
      [
        voting({ connectTimeoutMs: 0 }),
        'services.voting.connectTimeoutMs: expected milliseconds above 0, at most 2147483647, got 0',
      ],
      [voting({ protocol: 'h2' }), 'services.voting.protocol: expected http or h2c, got "h2"'],
      [voting({ balancer: 'off' }), 'services.voting.balancer: expected a strategy, or the name of one, got "off"'],
      [voting({ retry: 3 }), 'services.voting.retry: expected a strategy, the name of one, or "off", got 3'],
      [
        voting({ balancer: 'p3c' }),
        'services.voting.balancer: expected one of least-request, p2c, random, ring-hash, round-robin, got "p3c"',
      ],
      [voting({ breaker: 'retry' }), 'services.voting.breaker: expected one of consecutive-failures, got "retry"'],
      [
        voting({ retry: { retry: { attempts: -1 } } }),
        'services.voting.retry.retry.attempts: expected an integer from 1 to 100, got -1',
      ],
      [
        voting({ hedge: { hedge: { attempts: 9 } } }),
        'services.voting.hedge.hedge.attempts: expected an integer from 2 to 5, got 9',
      ],
      [voting({ hedge: true }), 'services.voting.hedge: expected a strategy, the name of one, or "off", got true'],
      [voting({ tls: { ca: 'ca.pem' } }), 'services.voting.tls.ca: expected a text in PEM, got "ca.pem"'],
      [voting({ tls: { cert: '-----BEGIN X' } }), 'services.voting.tls.key: missing, as there is a cert'],
      [voting({ tls: { pfx: 'x' } }), 'services.voting.tls.pfx: unknown option, expected one of ca, cert, key, servername'],
      [voting({ tls: null }), 'services.voting.tls: expected an object, got null'],
      [voting({ routes: [{}] }), 'services.voting.routes[0].name: missing'],
    ]

    for (const [options, expected] of cases) assert.deepEqual(problems(options), [expected])
  })

  test('is to ask for identities where nothing is secured: calls would go out in plaintext', () => {
    const identities = ['spiffe://inmesh.local/ns/default/sa/voting']
    const asks = "asks for identities, and identity is 'off': leave that out, or this"
    const options: MeshOptions = {
      identity: 'off',
      mtls: { mode: 'strict' },
      defaults: { mtls: { strict: true } },
      services: { voting: {}, emoji: { mtls: { identities } }, web: { mtls: { strict: false } } },
    }

    assert.deepEqual(problems(options), [`mtls.mode: ${asks}`, `defaults.mtls: ${asks}`, `services.emoji.mtls: ${asks}`])
    assert.deepEqual(problems({ services: { voting: { mtls: { strict: true } } } }), [])
  })

  test('in a function is found by trying it out', () => {
    const notCalled = { breaker: consecutiveFailures, balancer: p2c, retry, hedge, retryBudget, discovery: staticEndpoints }
    for (const [role, factory] of Object.entries(notCalled)) {
      const [line, ...more] = problems(voting({ [role]: factory }))

      assert.match(
        line ?? '',
        new RegExp(`^services\\.voting\\.${role}: expected a function that makes .*, got .* \\(was it called\\?\\)$`),
      )
      assert.deepEqual(more, [])
    }
    assert.deepEqual(problems(voting({ balancer: () => 5, discovery: () => ({}) })), [
      'services.voting.balancer: expected a function that makes an object with update, pick, got one that makes 5',
      'services.voting.discovery: expected a function that makes an object with watch, got one that makes an object',
    ])
    assert.match(problems({ defaults: { balancer: p2c } })[0] ?? '', /^defaults\.balancer: expected /)
    assert.match(
      problems(voting({ routes: [{ name: 'vote', retry }] }))[0] ?? '',
      /^services\.voting\.routes\[0\]\.retry: expected /,
    )
    assert.match(
      problems(voting({ routes: [{ name: 'vote', hedge }] }))[0] ?? '',
      /^services\.voting\.routes\[0\]\.hedge: expected /,
    )
  })

  test('does not hide another', () => {
    const options = {
      typo: 1,
      defaults: { timeoutMs: -1, balancer: 'p3c' },
      services: {
        Voting: { balancer: 'p3c', typo: 1, retry: { retry: { attempts: 0, tries: 1 } }, routes: [{}, 5] },
        emoji: null,
      },
    }

    assert.deepEqual(
      problems(options).map((line) => line.split(':')[0]),
      [
        ...['typo', 'defaults.timeoutMs', 'defaults.balancer', 'services.Voting'],
        ...['services.Voting.typo', 'services.Voting.routes[0].name', 'services.Voting.routes[1]', 'services.Voting.balancer'],
        ...['services.Voting.retry.retry.attempts', 'services.Voting.retry.retry.tries', 'services.emoji'],
      ],
    )
  })
})

describe('the name of this process', () => {
  let before: string | undefined

  beforeEach(() => {
    before = process.env.INMESH_SERVICE
    process.env.INMESH_SERVICE = 'web'
  })

  afterEach(() => {
    if (before === undefined) delete process.env.INMESH_SERVICE
    else process.env.INMESH_SERVICE = before
  })

  test('is the option, else INMESH_SERVICE, else empty', () => {
    assert.equal(readConfig({ name: 'bot' }).name, 'bot')
    assert.equal(readConfig({}).name, 'web')
    delete process.env.INMESH_SERVICE
    assert.equal(readConfig({}).name, '')
  })
})

describe('a balancer', () => {
  const zoneBefore = process.env.INMESH_ZONE

  afterEach(() => {
    if (zoneBefore === undefined) delete process.env.INMESH_ZONE
    else process.env.INMESH_ZONE = zoneBefore
  })

  /** Of 200 picks, how many go to an endpoint of zone `a` or one that has just joined. */
  function share(options: MeshOptions, which: 'zone' | 'joined'): number {
    const balancer = readConfig(options).defaults.balancer(virtualRuntime(1))
    const endpoints = [0, 1, 2, 3, 4, 5].map((i) => {
      const address = { host: '10.0.0.7', port: 80 + i, zone: i < 3 ? 'a' : 'b' }
      const since = which === 'joined' && i === 0 ? 0 : Number.NEGATIVE_INFINITY
      return new Endpoint(address, since, balancer.meter?.() ?? unmetered, openGate)
    })
    const call = { service: 'voting', method: 'GET', path: '/', idempotent: true, header: () => undefined }
    balancer.update(endpoints)
    const picks = Array.from({ length: 200 }, () => balancer.pick(call as never, 0, undefined))
    return picks.filter((e) => (which === 'zone' ? e?.zone === 'a' : e === endpoints[0])).length / 200
  }

  test('by name lets endpoints that join warm up, as the default does', () => {
    assert.ok(share({ defaults: { balancer: 'round-robin' } }, 'joined') < 0.08)
    assert.ok(share({ defaults: { balancer: { 'least-request': {} } } }, 'joined') < 0.08)
    assert.ok(share({ defaults: { balancer: roundRobin() } }, 'joined') > 0.15)
  })

  test('by name and by default keeps to the zone of this process', () => {
    assert.equal(share({ zone: 'a', defaults: { balancer: 'round-robin' } }, 'zone'), 1)
    assert.equal(share({ zone: 'a' }, 'zone'), 1)
    assert.equal(share({ zone: 'a', defaults: { balancer: roundRobin() } }, 'zone'), 0.5)
  })

  test('takes the zone from INMESH_ZONE, unless the option says otherwise', () => {
    process.env.INMESH_ZONE = 'a'

    assert.equal(share({}, 'zone'), 1)
    assert.equal(share({ zone: 'b' }, 'zone'), 0)
    process.env.INMESH_ZONE = ''
    assert.equal(share({ defaults: { balancer: 'round-robin' } }, 'zone') < 1, true)
  })
})
