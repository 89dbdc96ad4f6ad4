import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'

/** Gives this test file a registry of its own: `INMESH_RUNTIME_DIR` is set to a fresh folder, which goes with the tests. */
export function ownRuntimeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  process.env.INMESH_RUNTIME_DIR = directory
  after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
