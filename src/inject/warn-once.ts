const told = new Set<string>()

/**
 * Says once what goes on without the mesh, and why: a failure of ours is never the application's.
 *
 * @param what one of a few texts: `grpc-js is not meshed`
 */
export function warnOnce(what: string, cause: unknown): void {
  if (told.has(what)) return
  told.add(what)
  const why = cause instanceof Error ? cause.message : String(cause)
  const detail = cause instanceof Error ? cause.stack : undefined
  process.emitWarning(`${what}: ${why}`, { type: 'MeshWarning', ...(detail === undefined ? {} : { detail }) })
}
