import { median, quantile, rounded } from './statistics.ts'

/** Does its work so many times; resolves to what one time cost. */
export type Turn = (count: number) => Promise<number>

/** What one time costs, and its multiple of the other's in the same comparison: median and quartiles. */
export interface Comparison {
  readonly own: number
  readonly other: number
  readonly ratio: number
  readonly ratioP25: number
  readonly ratioP75: number
}

/** Turns of each of the two in a comparison. The cheaper half counts: a neighbour on the machine can only make a turn dearer. */
const TURNS = 8

/**
 * The two take turns in the order ABBAABBA..., so that what drifts (heat, neighbours, the collector) meets both alike. Each comparison gives
 * one ratio.
 *
 * @param count what each does in a turn
 */
export async function compareTurns(own: Turn, other: Turn, count: number, comparisons: number): Promise<Comparison> {
  const costs: { own: number; other: number }[] = []
  for (let i = 0; i < comparisons; i++) {
    const [a, b]: [number[], number[]] = [[], []]
    for (let turns = 0; turns < TURNS; turns += 2) {
      b.push(await other(count))
      a.push(await own(count), await own(count))
      b.push(await other(count))
    }
    costs.push({ own: undisturbed(a), other: undisturbed(b) })
  }
  const ratios = costs.map((cost) => cost.own / cost.other)
  return {
    own: median(costs.map((cost) => cost.own)),
    other: median(costs.map((cost) => cost.other)),
    ratio: rounded(median(ratios), 3),
    ratioP25: rounded(quantile(ratios, 0.25), 3),
    ratioP75: rounded(quantile(ratios, 0.75), 3),
  }
}

function undisturbed(costs: readonly number[]): number {
  const cheaper = costs.toSorted((a, b) => a - b).slice(0, costs.length / 2)
  return cheaper.reduce((sum, cost) => sum + cost, 0) / cheaper.length
}
