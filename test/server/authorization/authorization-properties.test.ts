import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AllowedCaller } from '../../../src/server/authorization/authorization-options.ts'
import { policy } from '../support/policy.ts'

const WEB = 'spiffe://td/ns/prod/sa/web'
const STRANGER = '203.0.113.9'
const ADMINS: readonly AllowedCaller[] = [{ identities: ['spiffe://td/ns/prod/sa/admin'] }]

const pieces = fc.constantFrom(
  ...[
    '/',
    '//',
    '.',
    '..',
    'public',
    'Public',
    'admin',
    'x',
    '%2e',
    '%2E',
    '%2f',
    '%2F',
    '%5c',
    '\\',
    ';',
    '?',
    '#',
    '%61',
    '%70ublic',
    '%',
    '%00',
    ' ',
  ],
)
const targets = fc
  .tuple(
    fc.constantFrom('/', '/public', '/public/', 'http://h/', 'http://h/public/', '', '*'),
    fc.array(pieces, { maxLength: 7 }),
  )
  .map(([start, rest]) => start + rest.join(''))

/** What servers make of a target; undefined when they throw. */
const READERS: readonly ((target: string) => string | undefined)[] = [
  (target) => target.split('?', 1)[0],
  (target) => URL.parse(target, 'http://server')?.pathname,
  (target) => decodeURI(target.replace(/^https?:\/\/[^/]*/, '').split(/[?#]/, 1)[0] as string),
  (target) => decodeURIComponent(target.replace(/^https?:\/\/[^/]*/, '').split(/[?#;]/, 1)[0] as string).replace(/\/+/g, '/'),
  (target) => URL.parse(decodeURIComponent(target.split('?', 1)[0] as string), 'http://server')?.pathname,
]

function readings(target: string): string[] {
  return READERS.flatMap((read) => {
    try {
      return read(target)?.replace(/^https?:\/\/[^/]*/, '') ?? []
    } catch {
      return []
    }
  })
}

test('deny by default lets no stranger pass to what is not open, however the path is written', () => {
  const refusing = policy({ default: 'deny', rules: [{ name: 'open', matches: [{ path: { value: '/public' } }], allow: [{}] }] })

  fc.assert(
    fc.property(targets, (target) => {
      if (refusing({ path: target, address: STRANGER }) !== undefined) return
      for (const path of readings(target)) assert.match(path, /^\/public(\/|$)/i, target)
    }),
    { numRuns: 20_000 },
  )
})

test('what is closed stays closed to strangers, however the path is written', () => {
  const refusing = policy({ rules: [{ name: 'closed', matches: [{ path: { value: '/admin' } }], allow: ADMINS }] })

  fc.assert(
    fc.property(targets, (target) => {
      if (refusing({ path: target, address: STRANGER }) !== undefined) return
      for (const path of readings(target)) assert.doesNotMatch(path, /^\/admin(\/|$)/i, target)
    }),
    { numRuns: 20_000 },
  )
})

test('a path that climbs out of an open place behind a semicolon is refused', () => {
  const refusing = policy({ default: 'deny', rules: [{ name: 'open', matches: [{ path: { value: '/public' } }], allow: [{}] }] })

  for (const path of [
    '/public;/%2e%2e/admin',
    '/public;x/.%2e/admin',
    '/public/..;/admin',
    '/public;/..%2Fadmin',
    '/public%3b/%2e%2e/admin',
  ])
    assert.notEqual(refusing({ path, address: STRANGER }), undefined, path)
})

test('an entry more never takes away access', () => {
  const identity = fc.constantFrom('spiffe://td/ns/a/sa/b', 'spiffe://td/ns/prod/sa/web', 'spiffe://other/a')
  const entry: fc.Arbitrary<AllowedCaller> = fc.record(
    {
      identities: fc.array(fc.constantFrom('*', 'spiffe://td/*', 'spiffe://td/ns/prod/*', WEB), { minLength: 1, maxLength: 2 }),
      networks: fc.array(fc.constantFrom({ cidr: '10.0.0.0/8' }, { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }), {
        minLength: 1,
        maxLength: 2,
      }),
    },
    { requiredKeys: [] },
  )
  const path = fc.constantFrom('/', '/a', '/a/b', '/A')
  const rules = fc.array(fc.record({ value: path, allow: fc.array(entry, { maxLength: 2 }) }), { minLength: 1, maxLength: 4 })
  const facts = fc.record({ path: targets, identity, address: fc.constantFrom('10.0.0.1', '10.1.0.1', STRANGER) })

  fc.assert(
    fc.property(rules, entry, fc.nat(), facts, (given, more, at, asked) => {
      const made = (grown: boolean) =>
        given.map(({ value, allow }, i) => ({
          name: `r${i}`,
          matches: [{ path: { value } }],
          allow: grown && i === at % given.length ? [...allow, more] : allow,
        }))

      if (policy({ default: 'deny', rules: made(false) })(asked) === undefined)
        assert.equal(policy({ default: 'deny', rules: made(true) })(asked), undefined)
    }),
  )
})
