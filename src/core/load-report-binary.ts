import type { LoadReport } from './load-report.ts'
import { eachField } from './protobuf.ts'

/** Field number of `OrcaLoadReport` -> ours; all are doubles. */
const DOUBLES: Readonly<Record<number, keyof LoadReport>> = {
  1: 'cpuUtilization',
  2: 'memUtilization',
  6: 'rps',
  7: 'eps',
  9: 'applicationUtilization',
}
const NAMED_METRICS = 8
const IN_FLIGHT = 'in_flight'

/** Writes a report as the protocol buffer `OrcaLoadReport`, for a `-bin` trailer. What is 0 is left out, as protocol buffers do. */
export function binaryReport(report: Readonly<Partial<LoadReport>>): Buffer {
  const parts: Buffer[] = []
  for (const [number, field] of Object.entries(DOUBLES)) {
    const value = report[field] ?? 0
    if (value > 0) parts.push(double(Number(number), value))
  }
  if ((report.inFlight ?? 0) > 0) {
    const entry = Buffer.concat([
      Buffer.from([0x0a, IN_FLIGHT.length]),
      Buffer.from(IN_FLIGHT),
      double(2, report.inFlight as number),
    ])
    parts.push(Buffer.from([(NAMED_METRICS << 3) | 2, entry.length]), entry)
  }
  return Buffer.concat(parts)
}

/**
 * Reads the protocol buffer, as bytes or in base64, into `report`. Fields that we do not know are skipped.
 *
 * @returns undefined when it is malformed
 */
export function readBinaryReport(value: string | Uint8Array, report: LoadReport): LoadReport | undefined {
  const bytes = typeof value === 'string' ? fromBase64(value) : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (bytes === undefined) return undefined
  const whole = eachField(bytes, (number, field) => {
    if (number === NAMED_METRICS) return field.wire !== 2 || readNamed(field.bytes, report)
    const name = DOUBLES[number]
    return name === undefined || field.wire !== 1 || put(report, name, field.bytes)
  })
  return whole ? report : undefined
}

/** Not NaN, not negative, not endless. */
export function isFiniteFrom0(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY
}

function double(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(9)
  bytes[0] = (number << 3) | 1
  bytes.writeDoubleLE(value, 1)
  return bytes
}

/** `Buffer.from` skips what is no base64, so a text that is something else would pass. */
function fromBase64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text !== '' ? Buffer.from(text, 'base64') : undefined
}

function put(report: LoadReport, name: keyof LoadReport, bytes: Buffer): boolean {
  const value = bytes.readDoubleLE(0)
  if (!isFiniteFrom0(value)) return false
  report[name] = value
  return true
}

/** An entry of a map: 1 is the key, 2 the value. */
function readNamed(entry: Buffer, report: LoadReport): boolean {
  let key = ''
  let value: Buffer | undefined
  const whole = eachField(entry, (number, field) => {
    if (number === 1 && field.wire === 2) key = field.bytes.toString('latin1')
    if (number === 2 && field.wire === 1) value = field.bytes
    return true
  })
  if (!whole) return false
  return key !== IN_FLIGHT || value === undefined || put(report, 'inFlight', value)
}
