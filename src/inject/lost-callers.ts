import { isForWantOfCaller } from '../core/patience.ts'
import { warnOnce } from './warn-once.ts'

type Emit = (this: NodeJS.Process, ...event: unknown[]) => boolean

/**
 * Keeps callers from ending the process by leaving. What is asked on behalf of a caller fails when it leaves or its deadline passes, which would not happen without
 * the mesh: where an application does not catch that, be it a promise that is rejected or an `error` that nobody listens for, Node would end the process, and everybody
 * who can connect could make it do so. Such an error becomes one warning; all others go where they always went, as no listener is added.
 */
export function surviveLostCallers(): void {
  const next = process.emit as unknown as Emit
  const emit: Emit = function emit(...event) {
    const [name, error] = event
    if ((name !== 'unhandledRejection' && name !== 'uncaughtException') || !isForWantOfCaller(error))
      return next.apply(this, event)
    warnOnce('a request was given up with its caller, and its handler does not catch that', error)
    return true
  }
  Object.defineProperty(process, 'emit', { value: emit, writable: true, configurable: true, enumerable: false })
}
