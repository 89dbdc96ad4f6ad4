/** What a bench found: a table for people, `json` for machines. */
export interface BenchResult {
  name: string
  columns: string[]
  rows: (string | number)[][]
  json: unknown
  notes?: string[]
}

/** How a bench is asked. */
export interface BenchOptions {
  /** How long to go on, for a bench that can do so for any time. */
  readonly seconds?: number
}
