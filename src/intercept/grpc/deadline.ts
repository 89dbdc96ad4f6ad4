import type { Clock } from '../../core/clock.ts'

/** As grpc-js takes it: milliseconds since 1970, a date, or Infinity for none. */
export type Deadline = Date | number

/** A status of the server that comes this close to the deadline is taken for our own, as its clock rounds; in milliseconds. */
const CLOSE_MS = 5

/** The deadline in milliseconds since 1970; Infinity for none. What is no date has passed, as for grpc-js. */
export function deadlineTime(deadline: Deadline): number {
  const time = typeof deadline === 'number' ? deadline : deadline.getTime()
  return Number.isNaN(time) ? Number.NEGATIVE_INFINITY : time
}

/** How long there is left until a deadline in milliseconds since 1970; Infinity for none. */
export function leftUntil(time: number): number {
  return time === Number.POSITIVE_INFINITY ? time : time - Date.now()
}

/** A moment on the mesh's clock, in milliseconds since 1970: what grpc-js counts in. */
export function asDeadline(clock: Clock, monotonic: number): number {
  return Date.now() + monotonic - clock.now()
}

/** Whether a deadline has passed, or is about to. */
export function isOver(time: number): boolean {
  return leftUntil(time) <= CLOSE_MS
}
