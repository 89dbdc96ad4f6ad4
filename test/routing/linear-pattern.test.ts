import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { linearPattern } from '../../src/routing/linear-pattern.ts'

test('matches what JavaScript matches, whatever the pattern', () => {
  const atom = fc.constantFrom(
    'a',
    'b',
    '.',
    '\\d',
    '\\W',
    '[ab]',
    '[^a-c]',
    '[\\]\\d-]',
    '\\.',
    '\\x61',
    '\\u0062',
    '-',
    '^',
    '$',
    '/',
    '{',
    ']',
  )
  const sign = fc.constantFrom('', '', '*', '+', '?', '*?', '{0}', '{2}', '{1,}', '{0,2}', '{1,2}?')
  const { pattern } = fc.letrec<{ pattern: string; part: string }>((tie) => ({
    part: fc.oneof(
      { maxDepth: 2, depthSize: 'small' },
      fc.tuple(atom, sign).map(([a, s]) => (a === '^' || a === '$' ? a : a + s)),
      fc.tuple(fc.constantFrom('(', '(?:'), tie('pattern'), sign).map(([open, p, s]) => `${open}${p})${s}`),
    ),
    pattern: fc
      .array(fc.array(tie('part'), { maxLength: 3 }), { minLength: 1, maxLength: 2 })
      .map((alternatives) => alternatives.map((parts) => parts.join('')).join('|')),
  }))
  const text = fc
    .array(fc.constantFrom('a', 'b', 'c', '1', '.', '-', '\n', 'é', '/', '{', ']'), { maxLength: 6 })
    .map((all) => all.join(''))
  fc.assert(
    fc.property(pattern, fc.array(text, { minLength: 5, maxLength: 8 }), (source, texts) => {
      fc.pre(isPattern(source))
      const whole = new RegExp(`^(?:${source})$`)
      const pattern = linearPattern(source)

      for (const one of ['', ...texts]) assert.equal(pattern?.test(one), whole.test(one), JSON.stringify([source, one]))
    }),
    { numRuns: 1_000 },
  )
})

test('takes as many steps as the text is long where JavaScript would never end', () => {
  const text = 'a'.repeat(50_000)

  for (const source of ['(a+)+b', '(a|a)*b', '(a|aa)+$b', '.*.*.*.*.*b', '(?:a?){30}b']) {
    assert.equal(linearPattern(source)?.test(text), false, source)
    assert.equal(linearPattern(source.slice(0, -1))?.test(text.slice(0, 30)), true, source)
  }
})

test('is none when it looks around, refers back, counts too far or is too long', () => {
  for (const source of [
    '(?=a)a',
    '(?!a)b',
    '(?<=a)b',
    '(a)\\1',
    '(?<x>a)\\k<x>',
    '\\ba',
    'a{9999}',
    '(a{100}){100}',
    'a'.repeat(1_025),
    `${'('.repeat(60)}a${')'.repeat(60)}`,
    '(',
    'a)(b',
    '\\',
    '[b-a]',
    '*',
    'a**',
  ]) {
    assert.equal(linearPattern(source), undefined, source)
  }
})

test('is never anything but a pattern or none, whatever it is made of', () => {
  const piece = fc.constantFrom(
    '(',
    ')',
    '(?:',
    '(?<n>',
    '[',
    ']',
    '^',
    '$',
    '\\',
    '*',
    '+',
    '?',
    '{2}',
    '{',
    '}',
    '|',
    ',',
    'a',
    '1',
    'd',
    '-',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const source = pieces.join('')
      const pattern = linearPattern(source)

      if (pattern !== undefined) assert.equal(pattern.test('aa1'), new RegExp(`^(?:${source})$`).test('aa1'), source)
    }),
    { numRuns: 3_000 },
  )
})

function isPattern(source: string): boolean {
  try {
    new RegExp(source)
    return true
  } catch {
    return false
  }
}
