import { counter, type Family, type NumberPoint } from './family.ts'
import type { TlsReading } from './tls-metrics.ts'

/** Handshakes, secured connections and this process's own identity in export form. */
export function tlsFamilies(reading: TlsReading, since: number): Family[] {
  const { handshakes, connections, identities, failures, notAfter } = reading
  const point = (attributes: NumberPoint['attributes'], value: number): NumberPoint => ({ attributes, since, value })
  const once = (value: number): NumberPoint[] => (value > 0 ? [point({}, value)] : [])
  const ends = [...handshakes].flatMap(([side, results]) =>
    [...results].map(([result, count]) => point({ 'mesh.tls.side': side, 'mesh.tls.result': result }, count)),
  )
  const accepted = [...connections].map(([kind, count]) => point({ 'mesh.security': kind }, count))
  return [
    counter('mesh.tls.handshakes', 'TLS handshakes that ended, by this process as client and as server.', 'handshake', ends),
    counter('mesh.tls.connections', 'Connections that were served, by how their callers came.', 'connection', accepted),
    counter('mesh.identity.refreshes', 'Identities that were taken up, the first included.', 'refresh', once(identities)),
    counter('mesh.identity.failures', 'Times that a newer identity could not be had.', 'failure', once(failures)),
    {
      kind: 'gauge',
      name: 'mesh.identity.expiration',
      help: 'When the identity in use ceases to be valid, in seconds since 1970.',
      unit: 's',
      points: notAfter === undefined ? [] : [point({}, notAfter / 1_000)],
    },
  ]
}
