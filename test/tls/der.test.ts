import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  DerError,
  DerReader,
  integerBytes,
  namedBits,
  onlyElement,
  readAscii,
  readBoolean,
  readOid,
  readSmallInteger,
  readTime,
  wholeBytes,
} from '../../src/tls/der.ts'
import { bitString, der, integer, oid, sequence, text, time } from './der-writer.ts'

const hex = (digits: string) => Buffer.from(digits.replaceAll(' ', ''), 'hex')
const element = (digits: string) => new DerReader(hex(digits)).next()

describe('the reader of DER', () => {
  test('reads elements one after the other, as views', () => {
    const bytes = sequence(integer(Buffer.from([7])), text(0x86, 'x'))
    const reader = new DerReader(bytes)

    const inside = reader.inside()
    const first = inside.next(0x02)
    const second = inside.next()

    assert.equal(readSmallInteger(first), 7)
    assert.equal(readAscii(second), 'x')
    assert.equal(first.content.buffer, bytes.buffer)
    assert.ok(inside.done && reader.done)
    reader.end()
  })

  test('reads lengths of every size', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      assert.equal(onlyElement(der(0x04, Buffer.alloc(length)), 0x04).content.length, length)
    }
  })

  for (const [why, digits] of Object.entries({
    'no bytes': '',
    'a tag alone': '30',
    'a length without its bytes': '30 82 01',
    'an element beyond the end': '30 05 02 01 00',
    'a length of 4 GiB': '30 84 ff ff ff ff',
    'a length of five bytes': '30 85 00 00 00 00 01',
    'an indefinite length': '30 80 00 00',
    'a length in two bytes that fits in one': '04 81 01 00',
    'a length with a zero in front': '04 82 00 80',
    'a tag of several bytes': '1f 81 01 00',
  })) {
    test(`refuses ${why}`, () => assert.throws(() => element(digits), DerError))
  }

  test('refuses what is behind the only element, and another tag than was asked for', () => {
    assert.throws(() => onlyElement(hex('3000 00')), /1 bytes more/)
    assert.throws(() => onlyElement(hex('3100')), /expected tag 0x30 at byte 0, got 0x31/)
  })

  test('throws its own error or reads, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const reader = new DerReader(bytes)
        try {
          while (!reader.done) reader.next()
        } catch (error) {
          assert.ok(error instanceof DerError)
        }
      }),
    )
  })
})

describe('values of DER', () => {
  for (const [digits, read] of [
    ['0101ff', true],
    ['010100', false],
  ] as const) {
    test(`boolean ${digits}`, () => assert.equal(readBoolean(element(digits)), read))
  }

  for (const [what, read] of Object.entries({
    'a boolean of 01': () => readBoolean(element('010101')),
    'a boolean of two bytes': () => readBoolean(element('0102ffff')),
    'an integer without bytes': () => integerBytes(element('0200')),
    'an integer with a zero in front': () => integerBytes(element('02020001')),
    'a negative integer with a byte in front': () => integerBytes(element('0202ff80')),
    'a negative number': () => readSmallInteger(element('020180')),
    'a number of 2^32': () => readSmallInteger(element('02050100000000')),
    'a bit string without bytes': () => wholeBytes(element('0300')),
    'a bit string that ends within a byte': () => wholeBytes(element('03020180')),
    'named bits beyond their end': () => namedBits(element('030207ff')),
    'named bits with nine left over': () => namedBits(element('03020900')),
    'an identifier without bytes': () => readOid(element('0600')),
    'an identifier that is cut off': () => readOid(element('06022a86')),
    'an identifier with a number longer than it needs to be': () => readOid(element('06032a8001')),
    'an identifier with a huge number': () =>
      readOid(onlyElement(der(0x06, Buffer.from([0x2a, ...Array<number>(10).fill(0xff), 0x7f])), 0x06)),
    'a name that is not ASCII': () => readAscii(element('8601ff')),
  })) {
    test(`refuse ${what}`, () => assert.throws(read))
  }

  test('identifiers are read as they are written', () => {
    for (const id of ['2.5.29.17', '1.2.840.113549.1.1.11', '1.3.6.1.5.5.7.3.1', '0.9.2342', '1.3.6.1.4.1.99999.1']) {
      assert.equal(readOid(onlyElement(oid(id), 0x06)), id)
    }
  })

  test('named bits are numbered from the front', () => {
    assert.equal(namedBits(onlyElement(bitString(Buffer.from([0x06]), 1), 0x03)), (1 << 5) | (1 << 6))
    assert.equal(namedBits(onlyElement(bitString(Buffer.from([0x80]), 7), 0x03)), 1)
    assert.equal(namedBits(onlyElement(bitString(Buffer.from([0, 0x80]), 7), 0x03)), 1 << 8)
    assert.equal(namedBits(onlyElement(bitString(Buffer.alloc(0)), 0x03)), 0)
  })

  test('times are read to the second, for every year that can be written', () => {
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(1950) / 1_000, max: Date.UTC(9999) / 1_000 }), (seconds) => {
        assert.equal(readTime(new DerReader(time(seconds * 1_000)).next()), seconds * 1_000)
      }),
    )
  })

  for (const [tag, digits] of [
    [0x17, '300101000000'],
    [0x17, '3001010000Z'],
    [0x17, '300101000000+0000'],
    [0x17, '301301000000Z'],
    [0x17, '300001000000Z'],
    [0x17, '300229000000Z'],
    [0x17, '300101240000Z'],
    [0x17, '300101006000Z'],
    [0x17, '300101000060Z'],
    [0x18, '20300101000000Z'],
    [0x18, '20500101000000.5Z'],
    [0x18, '500101000000Z'],
    [0x16, '300101000000Z'],
  ] as const) {
    test(`refuse the time ${digits} of tag ${tag}`, () =>
      assert.throws(() => readTime(new DerReader(text(tag, digits)).next()), DerError))
  }
})
