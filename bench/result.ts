/** What a bench found: a table for people, `json` for machines. */
export interface BenchResult {
  name: string
  columns: string[]
  rows: (string | number)[][]
  json: unknown
  notes?: string[]
}
