import { currentContext, type Mesh, type MeshStats } from 'inmesh'

/** A request of a trace, as the process saw it that served it. */
export interface Sighting {
  readonly service: string
  readonly path: string
  readonly traceId: string
  /** How long the caller waited yet, in milliseconds. */
  readonly remainingMs: number
  /** Milliseconds since 1970, with fractions. */
  readonly at: number
}

/** What a process tells the demo. */
export interface Report {
  readonly stats: MeshStats
  /** The latest, in order. */
  readonly sightings: readonly Sighting[]
}

const EVERY_MS = 500
const MAX_SIGHTINGS = 40

/** Tells the demo twice a second what this process has seen, and ends with it. */
export class Reporter {
  readonly #mesh: Mesh
  readonly #sightings: Sighting[] = []
  readonly #ending = new AbortController()

  constructor(mesh: Mesh) {
    this.#mesh = mesh
  }

  /** Aborted when the process is asked to end. */
  get ending(): AbortSignal {
    return this.#ending.signal
  }

  /** Takes note of the request that is being served, if its trace is one of those that are sampled. */
  served(path: string): void {
    const context = currentContext()
    if (context === undefined || !context.traceparent.endsWith('-01')) return
    const { traceId, deadline } = context
    const remainingMs = Math.round(deadline - performance.now())
    this.#sightings.push({ service: this.#mesh.name, path, traceId, remainingMs, at: performance.timeOrigin + performance.now() })
    if (this.#sightings.length > MAX_SIGHTINGS) this.#sightings.shift()
  }

  /** The process is ready. */
  start(): void {
    const timer = setInterval(() => this.#tell(), EVERY_MS)
    process.on('message', (message) => {
      if (message === 'report') this.#tell()
    })
    process.once('disconnect', () => process.exit())
    // Ctrl-C reaches every process of the terminal; the demo decides who ends when
    process.on('SIGINT', () => {})
    process.once('SIGTERM', async () => {
      this.#ending.abort()
      clearInterval(timer)
      await this.#mesh.close()
      process.exit()
    })
    this.#tell()
  }

  #tell(): void {
    process.send?.({ stats: this.#mesh.stats(), sightings: this.#sightings } satisfies Report)
  }
}
