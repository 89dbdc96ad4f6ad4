import type { TestContext } from 'node:test'

/** The texts of the process's warnings with a code from now on: resolves once there are so many. */
export function warningsOf(t: TestContext, code: string): (count: number) => Promise<readonly string[]> {
  const texts: string[] = []
  const told = (warning: Error & { readonly code?: string }): void => {
    if (warning.code === code) texts.push(warning.message)
  }
  process.on('warning', told)
  t.after(() => process.off('warning', told))
  return async (count) => {
    while (texts.length < count) await new Promise((resolve) => setImmediate(resolve))
    return texts
  }
}
