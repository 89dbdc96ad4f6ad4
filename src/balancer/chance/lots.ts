import type { Runtime } from '../../core/clock.ts'

const TWO_TO_32 = 2 ** 32

/**
 * Draws lots for one balancer without allocating: `Math.random` makes a number on the heap with every call. The runtime's chance
 * decides where the series begins, so that a seed still decides everything.
 *
 * Weyl sequence with the finalizer of MurmurHash3 ("splitmix32"): 4 ns a draw, period 2^32. Not for secrets.
 */
export class Lots {
  /** A signed 32-bit integer, which fits where a field keeps small integers. */
  #state: number

  constructor({ random }: Pick<Runtime, 'random'>) {
    this.#state = Math.floor(random() * TWO_TO_32) | 0
  }

  /** An integer from 0 to n - 1, each as likely as any other. */
  below(n: number): number {
    return Math.floor((this.#next() / TWO_TO_32) * n)
  }

  /** True with probability p. */
  chance(p: number): boolean {
    return this.#next() < p * TWO_TO_32
  }

  #next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0
    let bits = this.#state
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
    return (bits ^ (bits >>> 16)) >>> 0
  }
}
