import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { headerOf, isOneShot, withHeaders } from '../../src/intercept/undici/call-headers.ts'

const SHAPES: Readonly<Record<string, (list: readonly [string, string][]) => never>> = {
  'an object': (list) => Object.fromEntries(list) as never,
  'a flat list': (list) => list.flat() as never,
  'a Map': (list) => new Map(list) as never,
  Headers: (list) => new Headers([...list]) as never,
  'a set of pairs': (list) => new Set(list) as never,
}

for (const [name, shape] of Object.entries(SHAPES)) {
  describe(`headers as ${name}`, () => {
    const headers = shape([
      ['X-User', 'ada'],
      ['accept', 'text/plain'],
    ])

    test('are found whatever their case', () => {
      assert.equal(headerOf(headers, 'x-user'), 'ada')
      assert.equal(headerOf(headers, 'accept'), 'text/plain')
    })

    test('are not found when they are not there', () => {
      assert.equal(headerOf(headers, 'x-us'), undefined)
      assert.equal(headerOf(headers, 'constructor'), undefined)
    })

    test('get one more', () => {
      const list = withHeaders(headers, ['x-new', '2'])

      assert.equal(headerOf(list, 'x-user'), 'ada')
      assert.equal(headerOf(list, 'x-new'), '2')
      assert.equal(list.length, 6)
    })

    test('get another value in place of the old one', () => {
      const list = withHeaders(headers, ['x-user', 'eve'])

      assert.equal(headerOf(list, 'x-user'), 'eve')
      assert.equal(list.length, 4)
    })
  })
}

test('joins the values of a header that stands there twice', () => {
  assert.equal(headerOf({ 'X-A': ['1', '2'], 'x-a': '3' }, 'x-a'), '1, 2, 3')
  assert.equal(headerOf(['a', '1', 'A', '2'] as never, 'a'), '1, 2')
})

test('takes no value for no header', () => {
  assert.equal(headerOf({ a: undefined }, 'a'), undefined)
  assert.equal(headerOf(undefined, 'a'), undefined)
  assert.equal(headerOf(null, 'a'), undefined)
  assert.deepEqual(withHeaders(undefined, ['a', '1']), ['a', '1'])
  assert.deepEqual(withHeaders({ b: undefined, c: null as never }, ['a', '1']), ['c', '', 'a', '1'])
})

test('keeps each value of a list apart', () => {
  assert.deepEqual(withHeaders({ b: ['1', '2'] }, ['a', '1']), ['b', '1', 'b', '2', 'a', '1'])
})

test('knows headers that can be read but once', () => {
  const pairs: [string, string][] = [['a', '1']]

  assert.equal(isOneShot(pairs.values() as never), true)
  for (const headers of [undefined, null, { a: '1' }, ['a', '1'], new Map(pairs), new Headers()]) {
    assert.equal(isOneShot(headers as never), false)
  }
})

test('finds in any flat list what undici would send', () => {
  const name = fc.constantFrom('a', 'B', 'x-y', 'X-Y')
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.string())), fc.constantFrom('a', 'b', 'x-y'), (pairs, wanted) => {
      const values = pairs.filter(([key]) => key.toLowerCase() === wanted).map(([, value]) => value)

      assert.equal(headerOf(pairs.flat() as never, wanted), values.length === 0 ? undefined : values.join(', '))
      assert.equal(headerOf(new Set(pairs) as never, wanted), values.length === 0 ? undefined : values.join(', '))
    }),
  )
})
