/** How many requests may be under way at once, and how that follows from what was measured. One a mesh. */
export interface Limit {
  /** At least 1; may change with each sample. */
  readonly value: number
  /**
   * Learns from a window of requests.
   *
   * @param latencyMs their mean, from arrival to the head of the answer
   * @param inFlight the most that were under way at once
   * @param dropped somebody's time ran out
   */
  sample(latencyMs: number, inFlight: number, dropped: boolean): void
}

export type LimitFactory = () => Limit
