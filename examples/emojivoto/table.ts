import type { Edge, Rows, Traffic } from './rows.ts'

const EDGE_HEAD = ['SRC', 'DST', 'SRC_ID', 'DST_ID', 'SECURED']
const HEAD = ['SUCCESS', 'RPS', 'LATENCY_P50', 'LATENCY_P95', 'LATENCY_P99', 'RETRIES', 'READY']

/** The rows as two tables of text, as `linkerd viz stat` and `edges` show them. */
export function tableOf({ services, edges }: Rows): string {
  const stat = [['NAME', ...HEAD], ...services.map((row) => [row.name, ...cells(row)])]
  const edge = [[...EDGE_HEAD, ...HEAD], ...edges.map((row) => [...edgeCells(row), ...cells(row)])]
  return `${aligned(stat, 1)}\n\n${aligned(edge, EDGE_HEAD.length)}\n`
}

function edgeCells({ from, to, secured, clientIdentity, serverIdentity }: Edge): string[] {
  const mark = secured === null ? '-' : secured ? '√' : '×'
  return [from, to, short(clientIdentity), short(serverIdentity), mark]
}

/** `web.default` for `spiffe://inmesh.local/ns/default/sa/web`, as Linkerd writes it; what has another form stays as it is. */
function short(identity: string | null): string {
  return identity?.replace(/^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/, '$2.$1') ?? '-'
}

function cells(row: Traffic): string[] {
  if (row.success === null) return HEAD.map(() => '-')
  return [
    `${(row.success * 100).toFixed(2)}%`,
    `${row.rps.toFixed(1)}rps`,
    ms(row.p50Ms),
    ms(row.p95Ms),
    ms(row.p99Ms),
    String(row.retries),
    `${row.endpointsReady}/${row.endpointsTotal}`,
  ]
}

function ms(value: number | null): string {
  return value === null ? '-' : `${value < 10 ? value.toFixed(1) : value.toFixed(0)}ms`
}

/** The first `names` columns to the left, numbers to the right, three spaces between. */
function aligned(rows: readonly (readonly string[])[], names: number): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i < names ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   ')
  return rows.map((row) => line(row).trimEnd()).join('\n')
}
