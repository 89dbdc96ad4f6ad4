import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  aBoolean,
  aFunction,
  anything,
  aString,
  durationMs,
  integerFrom,
  numberFrom,
  type OptionCheck,
  optionProblems,
  positiveMs,
  readOptions,
  shown,
} from '../../src/core/options.ts'

interface Sample {
  readonly limit: number
  readonly name: string | undefined
}

const defaults: Sample = { limit: 3, name: undefined }
const checks = { limit: integerFrom(1), name: aString }

test('fills in what is not given', () => {
  assert.deepEqual(readOptions('sample', undefined, defaults, checks), defaults)
  assert.deepEqual(readOptions('sample', {}, defaults, checks), defaults)
  assert.deepEqual(readOptions('sample', { name: 'x' }, defaults, checks), { limit: 3, name: 'x' })
})

test('takes undefined for not given', () => {
  const given = { limit: undefined } as unknown as Partial<Sample>

  assert.deepEqual(readOptions('sample', given, defaults, checks), defaults)
})

test('changes neither the defaults nor what was given', () => {
  const given = Object.freeze({ limit: 5 })

  const read = readOptions('sample', given, Object.freeze(defaults), checks)

  assert.notEqual(read, given)
  assert.equal(read.limit, 5)
})

test('names every problem at once, with path, expectation and what was got', () => {
  const given = { limit: -1, name: '', colour: 'red' } as Partial<Sample>

  assert.throws(() => readOptions('services.voting.sample', given, defaults, checks), {
    name: 'MeshError',
    code: 'INMESH_CONFIG',
    message: [
      'services.voting.sample.limit: expected an integer >= 1, got -1',
      'services.voting.sample.name: expected a string that is not empty, got ""',
      'services.voting.sample.colour: unknown option, expected one of limit, name',
    ].join('\n'),
  })
})

for (const given of [null, 7, 'p2c', [], true]) {
  test(`does not take ${JSON.stringify(given)} for options`, () => {
    assert.deepEqual(optionProblems('sample', given, checks), [`sample: expected an object, got ${shown(given)}`])
  })
}

test('does not take what every object inherits for an option', () => {
  const given = JSON.parse('{ "toString": 1, "__proto__": 2 }')

  assert.deepEqual(optionProblems('sample', given, checks), [
    'sample.toString: unknown option, expected one of limit, name',
    'sample.__proto__: unknown option, expected one of limit, name',
  ])
})

test('says so when there are no options at all', () => {
  assert.deepEqual(optionProblems('random', { seed: 1 }, {}), ['random.seed: unknown option, expected one of none'])
})

test('shows any value on one short line', () => {
  class Odd {}
  const values = [
    'a\nb',
    'x'.repeat(100),
    Number.NaN,
    null,
    undefined,
    1n,
    Symbol('s'),
    [1],
    {},
    new Odd(),
    new RangeError('no'),
    () => 1,
  ]

  for (const value of values) {
    assert.equal(shown(value).length <= 62, true)
    assert.equal(shown(value).includes('\n'), false)
  }
  assert.deepEqual([shown('a'), shown([]), shown({}), shown(Number.NaN)], ['"a"', 'an array', 'an object', 'NaN'])
})

const table: [name: string, check: OptionCheck, good: unknown[], bad: unknown[]][] = [
  ['durationMs', durationMs, [0, 0.5, 2_147_483_647], [-1, 2_147_483_648, Number.NaN, Number.POSITIVE_INFINITY, '5s', null]],
  ['positiveMs', positiveMs, [0.5, 2_147_483_647], [0, -1, 2_147_483_648, Number.NaN, '5']],
  ['numberFrom(0, 1)', numberFrom(0, 1), [0, 0.5, 1], [-0.1, 1.1, Number.NaN, '1', null]],
  ['numberFrom(0, Infinity)', numberFrom(0, Number.POSITIVE_INFINITY), [0, 1e300], [-1, Number.NaN, Number.POSITIVE_INFINITY]],
  ['integerFrom(1)', integerFrom(1), [1, Number.MAX_SAFE_INTEGER], [0, 1.5, Number.POSITIVE_INFINITY, 2 ** 53, '1']],
  ['integerFrom(1, 3)', integerFrom(1, 3), [1, 3], [0, 4]],
  ['aFunction', aFunction, [() => 1, Date], [undefined, {}]],
  ['aString', aString, ['x'], ['', 1, null]],
  ['aBoolean', aBoolean, [true, false], [0, 'true']],
  ['anything', anything, [undefined, null, 1, {}], []],
]

for (const [name, check, good, bad] of table) {
  test(`${name} lets through what fits, and says what it expected of the rest`, () => {
    for (const value of good) assert.equal(check(value), undefined, shown(value))
    for (const value of bad) assert.equal(typeof check(value), 'string', shown(value))
  })
}
