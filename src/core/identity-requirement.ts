import { AsyncLocalStorage } from 'node:async_hooks'
import type { Call } from './call.ts'
import type { Address, Endpoint } from './endpoint.ts'
import { MeshError } from './errors.ts'
import type { Service } from './service.ts'

/** Endpoints that an error names. */
const SHOWN_ENDPOINTS = 3

const storage = new AsyncLocalStorage<readonly string[] | undefined>()

/** The SPIFFE IDs of which whoever is called from here must have proved one; undefined when nothing is required. About 10 ns. */
export function requiredIdentities(): readonly string[] | undefined {
  return storage.getStore()
}

/**
 * Runs `fn`, in which every call requires one of these identities. Within another requirement both hold: what is called may narrow it, and can't loosen it.
 */
export function withRequirement<T>(ids: readonly string[], fn: () => T): T {
  const outer = storage.getStore()
  return storage.run(outer === undefined ? ids : outer.filter((id) => ids.includes(id)), fn)
}

/** Runs `fn`, in which nothing is required: for what outlives a call and serves others. */
export function withoutRequirement(fn: () => void): void {
  storage.run(undefined, fn)
}

/**
 * The SPIFFE IDs of which an endpoint must prove one; none when nobody knows whom to expect.
 *
 * @param allowed those that its service allows, whatever discovery names; empty for what discovery names
 */
export function expectedIdentities({ identity }: Address, allowed: readonly string[]): readonly string[] {
  return identity === undefined || allowed.length > 0 ? allowed : [identity]
}

/**
 * Whether an endpoint will do for a call. What an endpoint is expected to prove, each of its connections has proved before anything is sent; so all that it may
 * prove must be among what the call requires.
 *
 * @param allowed as in `expectedIdentities`; undefined when nobody proves anything
 */
export function meetsRequirement(call: Call, { address }: Endpoint, allowed: readonly string[] | undefined): boolean {
  const { requiredIds } = call
  if (requiredIds === undefined) return true
  if (allowed === undefined || call.secure) return false
  const expected = expectedIdentities(address, allowed)
  return expected.length > 0 && expected.every((id) => requiredIds.includes(id))
}

/** Why no endpoint will do, with what is required and what there is. */
export function requirementUnmet(call: Call, { name, endpoints, identities }: Service, attempts: number): MeshError {
  const text = `${name}: ${whyUnmet(call, endpoints, identities)}; required: ${shownIds(call.requiredIds ?? [])}`
  return MeshError.refusal('INMESH_IDENTITY', text, { service: name, attempts, reason: 'refused' })
}

function whyUnmet({ secure }: Call, endpoints: readonly Endpoint[], allowed: readonly string[] | undefined): string {
  if (secure) return 'a call by TLS of its own proves no identity to the mesh: call it in the clear, which the mesh secures'
  if (allowed === undefined) return 'this process has no identity, and so nobody proves one to it'
  const shown = endpoints.slice(0, SHOWN_ENDPOINTS).map((endpoint) => {
    const expected = expectedIdentities(endpoint.address, allowed)
    return `${endpoint.name} ${expected.length > 0 ? `proves ${shownIds(expected)}` : 'proves none'}`
  })
  const more = endpoints.length > SHOWN_ENDPOINTS ? ` and ${endpoints.length - SHOWN_ENDPOINTS} more` : ''
  return `no endpoint proves the identity that the call requires: ${shown.join(', ')}${more}`
}

/**
 * A call goes over connections that are not the mesh's, where nobody proves anything.
 *
 * @param required as `requiredIdentities` said it
 */
export function unprovenOutside(destination: string, required: readonly string[]): MeshError {
  const text = `${destination}: its connections are not the mesh's, and so prove no identity; required: ${shownIds(required)}`
  return MeshError.refusal('INMESH_IDENTITY', text, { reason: 'refused' })
}

function shownIds(ids: readonly string[]): string {
  const shown = ids.slice(0, SHOWN_ENDPOINTS).join(' or ')
  if (shown === '') return 'none at all, as requirements exclude each other'
  return ids.length > SHOWN_ENDPOINTS ? `${shown} or ${ids.length - SHOWN_ENDPOINTS} more` : shown
}
