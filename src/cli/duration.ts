import { UsageError } from './command.ts'

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
}

/**
 * A duration as people write it, `90s`, `24h`, `10y`, in milliseconds. A year has 365 days.
 *
 * @param option the option it is of, for the error
 * @throws UsageError when it is none, or not from `min` to `max`
 */
export function readDuration(text: string, option: string, min: string, max: string): number {
  const ms = durationOf(text)
  if (ms !== undefined && ms >= (durationOf(min) as number) && ms <= (durationOf(max) as number)) return ms
  throw new UsageError(
    `--${option}: expected a duration from ${min} to ${max}, such as 90s, 24h, 30d or 10y, got ${JSON.stringify(text)}`,
  )
}

function durationOf(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d{1,9})([smhdwy])$/.exec(text) ?? []
  return number === undefined ? undefined : Number(number) * (UNITS[unit] as number)
}

const WORDS = [
  ['years', 365 * 86_400_000],
  ['days', 86_400_000],
  ['hours', 3_600_000],
  ['minutes', 60_000],
] as const

/** A duration in words, in the largest unit of which there are two: `24 hours`, `10 years`. */
export function inWords(ms: number): string {
  const [name, unit] = WORDS.find(([, unit]) => ms >= 2 * unit) ?? ['seconds', 1_000]
  const count = Math.round(ms / unit)
  return count === 1 ? '1 second' : `${count} ${name}`
}

/** A date and how far it is: `2030-01-02 00:00:00Z (in 24 hours)`. */
export function shownDate(ms: number, now: number): string {
  const distance = ms >= now ? `in ${inWords(ms - now)}` : `${inWords(now - ms)} ago`
  return `${isoDate(ms)} (${distance})`
}

/** To the second: `2030-01-02 00:00:00Z`. */
export const isoDate = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
