import type { Metadata, MetadataValue } from '@grpc/grpc-js'

/**
 * The first value of a name, undefined for none. What `get(name)[0]` says, at a tenth of its price: `get` brings each name into lower case and
 * checks it against a pattern, which for the few names that are looked up on each answer is a good part of what a call costs here.
 *
 * @param name in lower case
 */
export function firstValue(metadata: Metadata, name: string): MetadataValue | undefined {
  const { internalRepr } = metadata as unknown as Kept
  return internalRepr instanceof Map ? internalRepr.get(name)?.[0] : metadata.get(name)[0]
}

/** It says nothing: no name and no option. */
export function isEmpty(metadata: Metadata): boolean {
  const { internalRepr } = metadata as unknown as Kept
  const size = internalRepr instanceof Map ? internalRepr.size : Object.keys(metadata.getMap()).length
  if (size > 0) return false
  for (const _ in metadata.getOptions()) return false
  return true
}

/** Where grpc-js keeps the values by name. Its own affair: where it is something else, it is asked in the way that everybody may. */
interface Kept {
  readonly internalRepr?: unknown
}
