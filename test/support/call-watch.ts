import assert from 'node:assert/strict'
import type { Attempt } from '../../src/core/attempt.ts'
import type { Call } from '../../src/core/call.ts'
import type { Observer } from '../../src/core/observer.ts'
import type { Reason, Verdict } from '../../src/core/verdict.ts'

/** What one call went through, as an observer saw it. */
export interface WatchedCall {
  readonly method: string
  readonly path: string
  /** One for each attempt that has ended, in that order. */
  readonly attempts: { readonly endpoint: string; readonly number: number; readonly reason: Reason }[]
  /** The verdict, once the call has ended. */
  reason: Reason | undefined
  status: number
}

/** An observer that holds the engine to its protocol: callStarted, (attemptStarted, attemptEnded)*, callEnded, each once. */
export class CallWatch implements Observer {
  readonly calls: WatchedCall[] = []
  readonly problems: string[] = []
  readonly #open = new Map<Call, { readonly watched: WatchedCall; readonly running: Set<Attempt>; started: number }>()
  readonly #runningAfterEnd = new Set<Attempt>()

  get last(): WatchedCall {
    const call = this.calls.at(-1)
    assert.ok(call, 'no call was seen')
    return call
  }

  callStarted(call: Call): void {
    if (this.#open.has(call)) this.#problem('callStarted twice')
    const watched: WatchedCall = { method: call.method, path: call.path, attempts: [], reason: undefined, status: 0 }
    this.calls.push(watched)
    this.#open.set(call, { watched, running: new Set(), started: 0 })
  }

  attemptStarted(attempt: Attempt): void {
    const open = this.#open.get(attempt.call)
    if (open === undefined) return this.#problem('attemptStarted outside of a call')
    if (open.running.size > 0 !== attempt.hedge)
      this.#problem(`attemptStarted with ${open.running.size} others, hedge: ${attempt.hedge}`)
    open.started++
    if (attempt.number !== open.started) this.#problem(`attempt number ${attempt.number}, expected ${open.started}`)
    open.running.add(attempt)
  }

  attemptEnded(attempt: Attempt, _route: unknown, verdict: Verdict, elapsedMs: number): void {
    if (!(elapsedMs >= 0)) this.#problem(`attempt took ${elapsedMs} ms`)
    const open = this.#open.get(attempt.call)
    if (open === undefined) {
      if (!this.#runningAfterEnd.delete(attempt)) this.#problem('attemptEnded outside of a call, or twice')
      return
    }
    if (!open.running.delete(attempt)) this.#problem('attemptEnded twice, or never started')
    open.watched.attempts.push({ endpoint: attempt.endpoint.name, number: attempt.number, reason: verdict.reason })
  }

  callEnded(call: Call, _route: unknown, verdict: Verdict, elapsedMs: number, attempts: number, status: number): void {
    const open = this.#open.get(call)
    if (open === undefined) return this.#problem('callEnded twice, or never started')
    this.#open.delete(call)
    if (!(elapsedMs >= 0)) this.#problem(`call took ${elapsedMs} ms`)
    if (attempts !== open.started) this.#problem(`callEnded with ${attempts} attempts, expected ${open.started}`)
    if (open.running.size > 0) this.#problem('callEnded before its attempt')
    for (const attempt of open.running) this.#runningAfterEnd.add(attempt)
    open.watched.reason = verdict.reason
    open.watched.status = status
  }

  endpointsChanged(): void {}

  /** To be asked when nothing is in flight any more. */
  assertDone(): void {
    assert.deepEqual(this.problems, [])
    assert.equal(this.#open.size, 0, `${this.#open.size} calls began and never ended`)
    assert.equal(this.#runningAfterEnd.size, 0, 'attempts began and never ended')
  }

  #problem(text: string): void {
    this.problems.push(text)
  }
}
