import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { fetchTarget } from '../../src/intercept/undici/fetch-url.ts'

/** Pieces that meet every branch of the pattern, and what lies just beside them. */
const host = fc.oneof(
  fc.constantFrom(
    'voting',
    'voting.default.svc',
    'a_b',
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '1.2.3.256',
    '01.2.3.4',
    '10.0.0',
    '[::1]',
    'A',
    'ä',
    'xn--a',
  ),
  fc.stringMatching(/^[a-z0-9._-]{1,12}$/),
  fc.ipV4(),
  fc.domain(),
)
const port = fc.constantFrom('', ':', ':80', ':443', ':8080', ':080', ':65535', ':65536', ':6667', ':0')
const path = fc.oneof(
  fc.stringMatching(/^(\/[\w.~!$&'()*+,;=:@%-]{0,4}){0,4}$/),
  fc.constantFrom('', '/', '/.', '/a/..', '/%2e/', '/a b', '/ä', '\\a', '/"', "/'", '/^|`{}'),
  fc.webPath(),
)
const query = fc.oneof(
  fc.stringMatching(/^(\?[\w.~!$&'()*+,;=:@/?%#"<>-]{0,8})?$/),
  fc.webQueryParameters().map((text) => `?${text}`),
)
const urls = fc
  .tuple(fc.constantFrom('http://', 'https://', 'HTTP://', 'http:/', 'ftp://', ' http://'), host, port, path, query)
  .map((parts) => parts.join(''))

test('reads any URL as the URL class does', () => {
  fc.assert(
    fc.property(urls, (text) => {
      const target = fetchTarget(text)
      if (target === undefined) return
      const url = new URL(text)
      url.hash = ''
      assert.deepEqual(target, { url: url.href, origin: url.origin, path: url.href.slice(url.origin.length) })
    }),
    { numRuns: 20_000 },
  )
})

test('leaves alone what is not to be sent', () => {
  const texts = [
    '',
    '/a',
    'ftp://a/',
    'http://',
    'http://u:p@a/',
    'http://u@a/',
    'http://a:6667/',
    'https://a:22/',
    'http://a:99999/',
    'data:,a',
  ]

  assert.deepEqual(
    texts.map(fetchTarget),
    texts.map(() => undefined),
  )
})
