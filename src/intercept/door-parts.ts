import type { Runtime } from '../core/clock.ts'
import type { Router, RouteTable } from '../core/route.ts'
import type { ConnectionOptions } from '../transport/connector.ts'

/** What every door is made of. */
export interface DoorParts {
  /** This process's own service, told to those it calls; empty when it has none. */
  readonly name: string
  readonly runtime: Runtime
  readonly router: Router
  /** How to connect to the endpoints of a service. */
  readonly connection: (table: RouteTable) => ConnectionOptions
  /** A call that is not ours goes by. */
  readonly egress: (origin: string) => void
}
