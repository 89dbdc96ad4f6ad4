import { BUCKET_BOUNDS_S } from './histogram.ts'

/** One metric and all of its series, as every export format needs it. Names, units and attributes: docs/metrics.md. */
export type Family = NumberFamily | HistogramFamily

export interface NumberFamily extends Described {
  /** `counter` only rises; `sum` rises and falls and may be added up over processes; `gauge` may not. */
  readonly kind: 'counter' | 'sum' | 'gauge'
  readonly points: readonly NumberPoint[]
}

export interface HistogramFamily extends Described {
  readonly kind: 'histogram'
  /** Of the buckets, in the family's unit, ascending, inclusive. */
  readonly bounds: readonly number[]
  readonly points: readonly HistogramPoint[]
}

interface Described {
  readonly name: string
  readonly help: string
  /** UCUM: `s`, `{call}`. */
  readonly unit: string
}

export interface Point {
  readonly attributes: Attributes
  /** When counting began, in monotonic milliseconds. */
  readonly since: number
}

export interface NumberPoint extends Point {
  readonly value: number
}

export interface HistogramPoint extends Point {
  /** Not cumulative; one more than the family's bounds, the last for what exceeds them all. */
  readonly buckets: readonly number[]
  /** Of all that was recorded, in the family's unit. */
  readonly sum: number
}

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** How OpenTelemetry marks the series of what exceeded a limit. */
export const OVERFLOW: Attributes = { 'otel.metric.overflow': true }

/** @param bounds in seconds; those of OpenTelemetry's HTTP conventions by default */
export function histogram(name: string, help: string, points: HistogramPoint[], bounds = BUCKET_BOUNDS_S): HistogramFamily {
  return { kind: 'histogram', name, help, unit: 's', bounds, points }
}

/** @param what one of the things that are counted: `call` */
export function counter(name: string, help: string, what: string, points: NumberPoint[]): NumberFamily {
  return { kind: 'counter', name, help, unit: `{${what}}`, points }
}

export function sum(name: string, help: string, what: string, points: NumberPoint[]): NumberFamily {
  return { kind: 'sum', name, help, unit: `{${what}}`, points }
}

export function gauge(name: string, help: string, what: string, points: NumberPoint[]): NumberFamily {
  return { kind: 'gauge', name, help, unit: `{${what}}`, points }
}
