import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { emptyReport, loadReportText, readLoadReport, utilizationOf } from '../../src/core/load-report.ts'
import { binaryReport, readBinaryReport } from '../../src/core/load-report-binary.ts'

const REPORT = { ...emptyReport(), applicationUtilization: 0.42, rps: 120, inFlight: 7 }

describe('a load report', () => {
  test('goes through its text form', () => {
    const text = loadReportText(REPORT)

    assert.equal(text, 'TEXT application_utilization:0.42,rps_fractional:120,named_metrics.in_flight:7')
    assert.deepEqual(readLoadReport(text), REPORT)
  })

  test('of an idle server still says something', () => {
    assert.equal(loadReportText({}), 'TEXT application_utilization:0')
    assert.deepEqual(readLoadReport(loadReportText({})), emptyReport())
  })

  test('is read as others write it', () => {
    assert.deepEqual(readLoadReport('TEXT cpu_utilization=0.3, mem_utilization=0.8, named_metrics.kv_cache=0.4'), {
      ...emptyReport(),
      cpuUtilization: 0.3,
      memUtilization: 0.8,
    })
    assert.deepEqual(
      readLoadReport('JSON {"cpu_utilization": 0.3, "applicationUtilization": 1.5, "named_metrics": {"in_flight": 3}}'),
      { ...emptyReport(), cpuUtilization: 0.3, applicationUtilization: 1.5, inFlight: 3 },
    )
  })

  test('goes through its binary form', () => {
    const base64 = binaryReport(REPORT).toString('base64')

    assert.deepEqual(readLoadReport(base64), REPORT)
    assert.deepEqual(readLoadReport(`BIN ${base64}`), REPORT)
    assert.deepEqual(readBinaryReport(binaryReport(REPORT), emptyReport()), REPORT)
    assert.deepEqual(readLoadReport(binaryReport(REPORT)), REPORT)
  })

  test('skips the binary fields that it does not know', () => {
    const unknown = Buffer.from([0x18, 0x96, 0x01, 0x22, 0x02, 0x01, 0x02]) // rps = 150 (deprecated), a map of costs

    assert.deepEqual(readBinaryReport(Buffer.concat([unknown, binaryReport(REPORT)]), emptyReport()), REPORT)
  })

  test("is the application's word before the CPU's", () => {
    assert.equal(utilizationOf({ ...emptyReport(), applicationUtilization: 0.2, cpuUtilization: 0.9 }), 0.2)
    assert.equal(utilizationOf({ ...emptyReport(), cpuUtilization: 0.9 }), 0.9)
  })

  for (const value of [
    '',
    'TEXT',
    'TEXT ',
    'TEXT cpu_utilization',
    'TEXT cpu_utilization:-1',
    'TEXT cpu_utilization:NaN',
    'TEXT cpu_utilization:1e999',
    'TEXT cpu_utilization:0.3,,',
    'BAD cpu_utilization:0.3',
    'JSON',
    'JSON {',
    'JSON []',
    'JSON null',
    'JSON {"cpu_utilization": "0.3"}',
    'JSON {"cpu_utilization": 1e999}',
    'BIN ****',
    'BIN CQ==',
    `TEXT ${'cpu_utilization:0.3,'.repeat(200)}cpu_utilization:0.3`,
  ]) {
    test(`is none when it says ${value.slice(0, 40) || 'nothing'}`, () => assert.equal(readLoadReport(value), undefined))
  }

  test('is none when it is longer than 2,048 bytes', () => {
    const unknown = Buffer.alloc(2_048, Buffer.from([0x18, 0x01]))

    assert.deepEqual(readLoadReport(unknown), emptyReport())
    assert.equal(readLoadReport(Buffer.concat([unknown, binaryReport(REPORT)])), undefined)
  })

  test('is none when it came twice', () => {
    assert.equal(readLoadReport(['TEXT cpu_utilization:0.3', 'TEXT cpu_utilization:0.4']), undefined)
  })

  test('never throws and never yields anything but finite numbers', () => {
    const prefix = fc.constantFrom('', 'TEXT ', 'JSON ', 'BIN ', 'TEXT cpu_utilization:', 'JSON {"cpu_utilization":')
    fc.assert(
      fc.property(prefix, fc.string(), (start, text) => {
        const report = readLoadReport(start + text)
        return report === undefined || Object.values(report).every((value) => value >= 0 && Number.isFinite(value))
      }),
    )
  })

  test('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const report = readBinaryReport(bytes, emptyReport())
        return report === undefined || Object.values(report).every((value) => value >= 0 && Number.isFinite(value))
      }),
    )
  })
})
