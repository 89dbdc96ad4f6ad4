import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Call } from '../../src/core/call.ts'
import type { RouteMatch } from '../../src/core/route-match.ts'
import { matcher } from '../../src/routing/match.ts'

function rpc(path: string, headers: Record<string, string> = {}): Call {
  return { authority: 'voting', protocol: 'grpc', method: 'POST', path, idempotent: false, header: (name) => headers[name] }
}

function matches(match: RouteMatch, ...paths: string[]): boolean[] {
  const { matches } = matcher(match)
  return paths.map((path) => matches(rpc(path)))
}

const PATHS = [
  '/a.Voting/Vote',
  '/a.Voting/Results',
  '/b.Voting/Vote',
  '/a.Voting/vote',
  '/a.Voting',
  '/Vote',
  '/a.Voting/x/Vote',
]

test('matches a service, a method or both, with regard to case', () => {
  const both = matches({ method: { service: 'a.Voting', method: 'Vote' } }, ...PATHS)
  const service = matches({ method: { type: 'Exact', service: 'a.Voting' } }, ...PATHS)
  const method = matches({ method: { method: 'Vote' } }, ...PATHS)

  assert.deepEqual(both, [true, false, false, false, false, false, false])
  assert.deepEqual(service, [true, true, false, true, false, false, false])
  assert.deepEqual(method, [true, false, true, false, false, false, true])
})

test('matches a regular expression as the whole of a service or a method', () => {
  const service = matches({ method: { type: 'RegularExpression', service: '[ab]\\.Voting' } }, ...PATHS)
  const method = matches({ method: { type: 'RegularExpression', method: 'V|Vote' } }, ...PATHS)

  assert.deepEqual(service, [true, true, true, true, false, false, false])
  assert.deepEqual(method, [true, false, true, false, false, false, true])
})

test('matches no call but those made by gRPC', () => {
  const { matches } = matcher({ method: { service: 'a.Voting' } })
  const { protocol: _, ...unsaid } = rpc('/a.Voting/Vote')

  assert.deepEqual([{ ...unsaid, protocol: 'http' } as const, unsaid].map(matches), [false, false])
})

test('matches metadata, all that is given', () => {
  const { matches } = matcher({
    method: { method: 'Vote' },
    headers: [
      { name: 'X-User', value: 'me' },
      { type: 'RegularExpression', name: 'x-version', value: 'v[12]' },
    ],
  })

  assert.equal(matches(rpc('/a.Voting/Vote', { 'x-user': 'me', 'x-version': 'v2' })), true)
  assert.equal(matches(rpc('/a.Voting/Vote', { 'x-user': 'me' })), false)
})

test('finds the parts of any path, exactly or by a pattern that means the same', () => {
  const name = fc.stringMatching(/^[A-Za-z_]\w{0,4}$/)
  const service = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'))
  const part = fc.constantFrom('service', 'method', 'both')
  fc.assert(
    fc.property(service, name, service, name, part, (s, m, otherS, otherM, which) => {
      const method = { ...(which !== 'method' && { service: s }), ...(which !== 'service' && { method: m }) }
      const pattern = Object.fromEntries(Object.entries(method).map(([key, value]) => [key, value.replaceAll('.', '\\.')]))
      const expected = (gotS: string, gotM: string) => (which === 'method' || gotS === s) && (which === 'service' || gotM === m)

      for (const [gotS, gotM] of [
        [s, m],
        [otherS, m],
        [s, otherM],
        [otherS, otherM],
      ] as [string, string][]) {
        const path = `/${gotS}/${gotM}`
        assert.deepEqual(matches({ method }, path), [expected(gotS, gotM)])
        assert.deepEqual(matches({ method: { type: 'RegularExpression', ...pattern } }, path), [expected(gotS, gotM)])
      }
    }),
  )
})
