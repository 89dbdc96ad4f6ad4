import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eachField } from '../../src/core/protobuf.ts'

/** The fields of a message by number, wire type and bytes; undefined when it is malformed. */
function fieldsOf(...bytes: readonly number[]): [number, number, number[]][] | undefined {
  const fields: [number, number, number[]][] = []
  const whole = eachField(Buffer.from(bytes), (number, { wire, bytes: value }) => {
    fields.push([number, wire, [...value]])
    return true
  })
  return whole ? fields : undefined
}

test('tells the fields in their order and skips varints', () => {
  assert.deepEqual(fieldsOf(0x0a, 2, 7, 8, 0x10, 0x96, 0x01, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0), [
    [1, 2, [7, 8]],
    [3, 5, [1, 2, 3, 4]],
    [4, 1, [1, 2, 3, 4, 5, 6, 7, 8]],
    [1, 2, []],
  ])
})

test('reads the number of a field and a length of several bytes', () => {
  const fields = fieldsOf(0x82, 0x7d, 0x80, 0x01, ...Array<number>(128).fill(9)) as [number, number, number[]][]

  assert.deepEqual([fields[0]?.[0], fields[0]?.[2].length], [2_000, 128])
})

for (const [behaviour, bytes] of [
  ['a field that goes beyond the end', [0x0a, 2, 7]],
  ['a field that is cut off', [0x0a]],
  ['a varint that is cut off', [0x10, 0x96]],
  ['a varint of more than ten bytes', [0x10, ...Array<number>(11).fill(0x80), 1]],
  ['a group', [0x0b]],
  ['a wire type that nobody knows', [0x0e]],
] as const) {
  test(`refuses ${behaviour}`, () => assert.equal(fieldsOf(...bytes), undefined))
}

test('stops where it is told to', () => {
  let told = 0

  assert.equal(
    eachField(Buffer.from([0x0a, 0, 0x0a, 0]), () => ++told < 1),
    false,
  )
  assert.equal(told, 1)
})

test('never reads beyond the message, whatever its bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      let total = 0
      eachField(Buffer.from(bytes), (_, { bytes: value }) => {
        total += value.length
        return true
      })
      return total <= bytes.length
    }),
  )
})
