import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Metadata } from '@grpc/grpc-js'
import fc from 'fast-check'
import { readTraceparent, readTracestate, traceIdOf } from '../../src/core/trace-context.ts'
import { PlainInbound } from '../server/support/plain-inbound.ts'
import { VirtualClock } from '../support/virtual-time.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN_ID = '00f067aa0ba902b7'
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`

const hex = (length: number) => fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const parts = fc.record({
  version: hex(2).filter((v) => v !== 'ff'),
  trace: hex(32).filter((id) => /[^0]/.test(id)),
  span: hex(16).filter((id) => /[^0]/.test(id)),
  flags: hex(2),
})

describe('a traceparent', () => {
  test('of any version, with any ids and flags, is passed on as it came, and tells its trace', () => {
    fc.assert(
      fc.property(parts, ({ version, trace, span, flags }) => {
        const value = `${version}-${trace}-${span}-${flags}`

        assert.equal(readTraceparent(value), value)
        assert.equal(traceIdOf(readTraceparent(value)), trace)
      }),
    )
  })

  test('of a later version may go on after a dash', () => {
    const later = `cc-${TRACE_ID}-${SPAN_ID}-01-what-the-future-will-be-like`

    assert.equal(readTraceparent(later), later)
  })

  const malformed: Readonly<Record<string, string | readonly string[] | undefined>> = {
    'is not there': undefined,
    'is empty': '',
    'is of version ff': `ff-${TRACE_ID}-${SPAN_ID}-01`,
    'has a trace of zeros': `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
    'has a span of zeros': `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
    'is in upper case': TRACEPARENT.toUpperCase(),
    'is too short': TRACEPARENT.slice(0, -1),
    'goes on, in version 00': `${TRACEPARENT}-more`,
    'goes on without a dash': `cc${TRACEPARENT.slice(2)}.more`,
    'goes on with what is no header': `cc${TRACEPARENT.slice(2)}-\r\nhost: evil`,
    'ends with a line': `${TRACEPARENT}\n`,
    'goes on for long': `cc${TRACEPARENT.slice(2)}-${'x'.repeat(300)}`,
    'has other dashes': TRACEPARENT.replaceAll('-', '_'),
    'has spaces': ` ${TRACEPARENT} `,
    'came twice': [TRACEPARENT, TRACEPARENT],
    'came twice and was joined': `${TRACEPARENT}, ${TRACEPARENT}`,
  }
  for (const [what, value] of Object.entries(malformed)) {
    test(`that ${what} is dropped`, () => assert.equal(readTraceparent(value), ''))
  }

  test('that any one character was changed in is still one, or is dropped', () => {
    const at = fc.nat({ max: TRACEPARENT.length - 1 })
    fc.assert(
      fc.property(at, fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), (i, character) => {
        const value = TRACEPARENT.slice(0, i) + character + TRACEPARENT.slice(i + 1)
        const read = readTraceparent(value)

        assert.ok(read === '' || (read === value && /^[0-9a-f-]{55}$/.test(value)))
      }),
    )
  })
})

describe('a tracestate', () => {
  test('is passed on as it came', () => {
    assert.equal(readTracestate('rojo=00f067aa0ba902b7, congo=t61rcWkgMzE'), 'rojo=00f067aa0ba902b7, congo=t61rcWkgMzE')
    assert.equal(readTracestate(`a=${'x'.repeat(510)}`).length, 512)
  })

  for (const value of [undefined, '', '  ', `a=${'x'.repeat(511)}`, 'a=1\tb=2', 'a=é', 'a=1\r\nb: 2']) {
    test(`that is ${JSON.stringify(value?.slice(0, 12))} is dropped`, () => assert.equal(readTracestate(value), ''))
  }

  test('of any text is dropped, or can be sent by HTTP and gRPC', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (text) => {
        const read = readTracestate(text)

        assert.ok(read.length <= 512)
        new Headers({ tracestate: read })
        new Metadata().set('tracestate', read)
      }),
    )
  })
})

describe('a request', () => {
  const inbound = (headers: Readonly<Record<string, string>>) => new PlainInbound(new VirtualClock(), { headers })

  test('tells the trace that it is part of', () => {
    const { traceId, traceparent, tracestate } = inbound({ traceparent: TRACEPARENT, tracestate: 'a=1' })

    assert.deepEqual([traceId, traceparent, tracestate], [TRACE_ID, TRACEPARENT, 'a=1'])
  })

  test('has no state of a trace without the trace', () => {
    for (const headers of [{ tracestate: 'a=1' }, { traceparent: 'soon', tracestate: 'a=1' }]) {
      const { traceId, traceparent, tracestate } = inbound(headers)

      assert.deepEqual([traceId, traceparent, tracestate], ['', '', ''])
    }
  })
})
