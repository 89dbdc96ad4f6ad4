import type { Gate } from './gate.ts'
import type { LoadMeter } from './load.ts'

/** Where an endpoint is, as discovery tells it. */
export interface Address {
  /** An IP address or a host name; IPv6 without brackets. */
  readonly host: string
  /** 1 to 65535. */
  readonly port: number
  /** Share of traffic relative to the other endpoints; above 0, default 1. */
  readonly weight?: number
  /** Failure domain, such as `eu-west-1a`; none by default. */
  readonly zone?: string
  /** Whom the endpoint's certificate must name; none by default. */
  readonly identity?: string
  /** Whatever else the source knows: version, pid, hostname. Shown, never interpreted. */
  readonly metadata?: Readonly<Record<string, string>>
}

/**
 * One address of a service and all that this process has learnt of it. Lives as long as the address stays in the
 * service's set, across any number of updates.
 */
export class Endpoint {
  /** Another object after an update that changes nothing but the metadata. */
  address: Address
  /** `host:port`, IPv6 in brackets: unique within a service, and how an endpoint is named in errors and metrics. */
  readonly name: string
  readonly weight: number
  readonly zone: string | undefined
  /** When it joined the service, in monotonic milliseconds; -Infinity for those of the service's first set. */
  readonly since: number
  readonly meter: LoadMeter
  readonly gate: Gate
  /** Attempts begun and not ended. */
  inFlight = 0
  /** Its gate would refuse, but too many of the service are shut: it is used all the same (panic). */
  forced = false
  /** Its gate would refuse, as of the service's last look. */
  shut = false
  /** When its gate was first seen shut, in monotonic milliseconds. */
  shutSince = 0
  /** It has said that it is about to go: not used before this time, in monotonic milliseconds, while there are others. */
  leavingUntil = 0
  /** When its last load report was read, in monotonic milliseconds. */
  reportedAt = Number.NEGATIVE_INFINITY
  /** The number of the service's update that named it last. */
  namedIn = 0
  /** It has left the service's set; attempts in flight may still end. */
  removed = false
  /**
   * Whether what is called in the clear is sent to it by TLS, and only once it has proved who it is (true), or in plaintext (false). Undefined before the
   * first connection. Told by the doors.
   */
  secured: boolean | undefined = undefined
  /** The SPIFFE ID that it has proved last, before that the one that discovery names; undefined when there is neither. */
  identity: string | undefined
  readonly #onLeave: (() => void)[] = []

  constructor(address: Address, since: number, meter: LoadMeter, gate: Gate) {
    this.address = address
    this.name = addressName(address)
    this.weight = address.weight ?? 1
    this.zone = address.zone
    this.identity = address.identity
    this.since = since
    this.meter = meter
    this.gate = gate
  }

  /** Another endpoint in its place, at the same host and port with other traits: it takes over what was learnt. */
  movedTo(address: Address): Endpoint {
    const endpoint = new Endpoint(address, this.since, this.meter, this.gate)
    endpoint.shut = this.shut
    endpoint.shutSince = this.shutSince
    endpoint.leavingUntil = this.leavingUntil
    return endpoint
  }

  /** Until when it should not be asked, by its gate's word or its own; in monotonic milliseconds, 0 or past when it may. */
  get shutUntil(): number {
    const { shutUntil } = this.gate
    return shutUntil > this.leavingUntil ? shutUntil : this.leavingUntil
  }

  /** Runs `fn` when the endpoint leaves its service: how a door learns to close what it holds for it. */
  onLeave(fn: () => void): void {
    if (this.removed) fn()
    else this.#onLeave.push(fn)
  }

  /** The endpoint leaves its service. Called by the service. */
  leave(): void {
    if (this.removed) return
    this.removed = true
    for (const fn of this.#onLeave.splice(0)) fn()
  }
}

/** `host:port`, with brackets around IPv6. */
export function addressName(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}
