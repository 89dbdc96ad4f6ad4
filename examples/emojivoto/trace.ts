import type { Sighting } from './reporter.ts'

/** One trace on its way from process to process. */
export interface Trace {
  readonly id: string
  /** In order of time. */
  readonly hops: readonly Omit<Sighting, 'traceId' | 'at'>[]
}

/** The latest trace that all of `services` have seen; undefined when there is none. */
export function traceAcross(services: readonly string[], sightings: readonly Sighting[]): Trace | undefined {
  const traces = new Map<string, Sighting[]>()
  for (const sighting of [...sightings].sort((a, b) => a.at - b.at)) {
    const trace = traces.get(sighting.traceId) ?? []
    trace.push(sighting)
    traces.set(sighting.traceId, trace)
  }
  const whole = [...traces].findLast(([, hops]) => services.every((name) => hops.some(({ service }) => service === name)))
  if (whole === undefined) return undefined
  const [id, hops] = whole
  return { id, hops: hops.map(({ service, path, remainingMs }) => ({ service, path, remainingMs })) }
}

/** A line, and one for each request that it is made of. */
export function textOf(trace: Trace | undefined): string {
  if (trace === undefined) return 'No trace yet.\n'
  const hops = trace.hops.map(
    (hop) => `  ${hop.service.padEnd(8)}${hop.path.padEnd(54)}${String(hop.remainingMs).padStart(6)} ms left`,
  )
  return `Trace ${trace.id}, from process to process:\n${hops.join('\n')}\n`
}
