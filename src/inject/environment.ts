import { constants } from 'node:os'
import { MeshError } from '../core/errors.ts'
import { isAnnounceable } from '../discovery/registry/announce-server.ts'

/** What an application that is not changed chooses by environment variables. */
export interface InjectOptions {
  /**
   * `INMESH_ANNOUNCE`: which servers are entered in the machine's registry under the mesh's name. `true` or `1`: all that listen on TCP; ports,
   * `8080,8443`: those alone. They are secured as `mesh.announce` does it. Default: none.
   */
  readonly announces: (port: number) => boolean
  /** `INMESH_DRAIN`: the signals on which the process takes its leave, `SIGTERM,SIGINT`. Default: none. */
  readonly drainOn: readonly NodeJS.Signals[]
}

/**
 * Reads them.
 *
 * @param name the mesh's own name, which servers are announced by
 * @throws MeshError INMESH_CONFIG with all problems at once, each with the variable's name
 */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>, name: string): InjectOptions {
  const problems: string[] = []
  const announces = readAnnounce(env['INMESH_ANNOUNCE'] ?? '', problems)
  if (announces !== NONE && !isAnnounceable(name)) {
    problems.push(`INMESH_ANNOUNCE: expected a name such as "voting" in INMESH_SERVICE, by which to announce, got "${name}"`)
  }
  const drainOn = readSignals(env['INMESH_DRAIN'] ?? '', problems)
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return { announces, drainOn }
}

const ALL = (): boolean => true
const NONE = (): boolean => false

function readAnnounce(said: string, problems: string[]): InjectOptions['announces'] {
  if (said === 'true' || said === '1') return ALL
  if (said === '' || said === 'false' || said === '0') return NONE
  const ports = new Set(said.split(',').map((port) => (/^\s*\d{1,5}\s*$/.test(port) ? Number(port) : 0)))
  if ([...ports].every((port) => port >= 1 && port <= 65_535)) return (port) => ports.has(port)
  problems.push(`INMESH_ANNOUNCE: expected true, false or ports such as 8080,8443, got "${said}"`)
  return NONE
}

function readSignals(said: string, problems: string[]): NodeJS.Signals[] {
  if (said === '') return []
  const names = said.split(',').map((name) => name.trim())
  if (names.every(isCatchable)) return names
  problems.push(`INMESH_DRAIN: expected signals such as SIGTERM,SIGINT, got "${said}"`)
  return []
}

function isCatchable(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name) && name !== 'SIGKILL' && name !== 'SIGSTOP'
}
