import { isFiniteFrom0, readBinaryReport } from './load-report-binary.ts'

/** Of an answer: what the server's load is, in the format of ORCA (Open Request Cost Aggregation, `xds.data.orca.v3.OrcaLoadReport`). */
export const LOAD_REPORT_HEADER = 'endpoint-load-metrics'
/** The same in gRPC's trailers: base64 of the protocol buffer. */
export const LOAD_REPORT_BINARY_HEADER = 'endpoint-load-metrics-bin'

/** What a server says of its load. Numbers are finite and 0 or more; 0 also stands for "did not say", as in protocol buffers. */
export interface LoadReport {
  /** Of what the application itself sees as its limit; 1 is full, more is possible. For inmesh, how busy its event loop is. */
  applicationUtilization: number
  cpuUtilization: number
  memUtilization: number
  /** Requests and errors a second. */
  rps: number
  eps: number
  /** Requests in flight: the named metric `in_flight`. */
  inFlight: number
}

/** The longest report that is read, in characters or bytes: a server must not make its clients work. */
const MAX_LENGTH = 2_048

/** How busy the server is: its application's word, else its CPU's (gRFC A58); 0 when it said neither. */
export function utilizationOf(report: LoadReport): number {
  return report.applicationUtilization > 0 ? report.applicationUtilization : report.cpuUtilization
}

/** The text form: `TEXT application_utilization:0.42,named_metrics.in_flight:7`. What is 0 is left out. */
export function loadReportText(report: Readonly<Partial<LoadReport>>): string {
  let text = ''
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = report[field]
    if (value !== undefined && value > 0) text += `${text === '' ? 'TEXT ' : ','}${name}:${Number(value.toPrecision(4))}`
  }
  return text === '' ? 'TEXT application_utilization:0' : text
}

/**
 * Reads the header in each of its forms: `TEXT name:value,name=value`, `JSON {...}`, `BIN base64`, or base64 alone (the `-bin` header); or
 * the protocol buffer itself.
 *
 * @param value anything: a header that came twice is an array
 * @returns undefined when there is none, it is longer than 2,048 characters, or any part of what we know is malformed
 */
export function readLoadReport(value: unknown): LoadReport | undefined {
  if (value instanceof Uint8Array) return value.length > MAX_LENGTH ? undefined : readBinaryReport(value, emptyReport())
  if (typeof value !== 'string' || value.length > MAX_LENGTH || value === '') return undefined
  if (value.startsWith('TEXT ')) return readText(value.slice(5))
  if (value.startsWith('JSON ')) return readJson(value.slice(5))
  return readBinaryReport(value.startsWith('BIN ') ? value.slice(4) : value, emptyReport())
}

/** Nothing said. */
export function emptyReport(): LoadReport {
  return { applicationUtilization: 0, cpuUtilization: 0, memUtilization: 0, rps: 0, eps: 0, inFlight: 0 }
}

/** In TEXT a named metric has this prefix. */
const NAMED = 'named_metrics.'

const FIELDS: Readonly<Record<string, keyof LoadReport>> = Object.assign(Object.create(null), {
  application_utilization: 'applicationUtilization',
  cpu_utilization: 'cpuUtilization',
  mem_utilization: 'memUtilization',
  rps_fractional: 'rps',
  eps: 'eps',
  [`${NAMED}in_flight`]: 'inFlight',
})

/** Proxies separate name and value by `:`, model servers by `=`; both are read. */
function readText(text: string): LoadReport | undefined {
  const report = emptyReport()
  for (const pair of text.split(',')) {
    const match = /^\s*([\w.-]+)\s*[:=]\s*([\d.eE+-]+)\s*$/.exec(pair)
    if (match === null) return undefined
    const field = FIELDS[match[1] as string]
    const number = Number(match[2])
    if (field === undefined) continue
    if (!isFiniteFrom0(number)) return undefined
    report[field] = number
  }
  return report
}

/** The JSON form of the protocol buffer, with its names as written there or in camel case. */
function readJson(text: string): LoadReport | undefined {
  const given = parsed(text)
  if (given === undefined) return undefined
  const report = emptyReport()
  const named = { ...record(given['namedMetrics']), ...record(given['named_metrics']) }
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = name.startsWith(NAMED) ? named[name.slice(NAMED.length)] : (given[name] ?? given[camelCase(name)])
    if (value === undefined) continue
    if (!isFiniteFrom0(value)) return undefined
    report[field] = value
  }
  return report
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return record(JSON.parse(text))
  } catch {
    return undefined
  }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}
