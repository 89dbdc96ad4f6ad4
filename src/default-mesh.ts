import { readFileSync } from 'node:fs'
import type { MeshOptions } from './config.ts'
import { MeshError } from './core/errors.ts'
import { createMesh, type Mesh } from './mesh.ts'

let mesh: Mesh | undefined

/**
 * The mesh of those who configure none: made on first use, with the options in the JSON file that `INMESH_CONFIG` names, if it is set.
 * Strategies are written there by the names of their files: `{ "services": { "voting": { "balancer": "round-robin" } } }`.
 *
 * @throws MeshError INMESH_CONFIG when the file can't be read, is no JSON, or its options are wrong
 */
export function defaultMesh(): Mesh {
  mesh ??= createMesh(optionsFrom(process.env['INMESH_CONFIG']))
  return mesh
}

/** WHATWG fetch through the default mesh. */
export const meshFetch: typeof globalThis.fetch = (input, init) => defaultMesh().fetch(input, init)

function optionsFrom(path: string | undefined): MeshOptions {
  if (path === undefined || path === '') return {}
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as MeshOptions
  } catch (cause) {
    const why = (cause as Error).message
    throw new MeshError('INMESH_CONFIG', `INMESH_CONFIG: ${path}: expected a readable file of JSON, got: ${why}`, { cause })
  }
}
