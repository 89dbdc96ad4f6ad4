import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, test } from 'node:test'

const ROOT = join(import.meta.dirname, '..')
const SRC = join(ROOT, 'src')

/** Folders whose every file is an entry, `inmesh/balancer/p2c`; the first two may be named in a configuration file. */
const FOLDERS = ['balancer', 'discovery', 'resilience']

interface Manifest {
  readonly exports: Readonly<Record<string, string | null | { readonly types: string; readonly default: string }>>
  readonly sideEffects: readonly string[]
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest

describe('the entries of the package', () => {
  test('each have a source', () => {
    const sourceless = Object.entries(manifest.exports)
      .filter(([name, target]) => !name.includes('*') && target !== null && typeof target !== 'string')
      .filter(([, target]) => !existsSync(sourceOf((target as { default: string }).default)))

    assert.deepEqual(sourceless, [])
  })

  test('offer every folder of strategies by a pattern, so that a new one is one file', () => {
    for (const folder of FOLDERS) {
      assert.deepEqual(manifest.exports[`./${folder}/*`], { types: `./dist/${folder}/*.d.ts`, default: `./dist/${folder}/*.js` })
    }
  })

  test('have no effect when imported, but for those that are declared', () => {
    assert.deepEqual(manifest.sideEffects, ['./dist/register.js'])
  })
})

describe('the main entry', () => {
  test('names one by one what it offers', () => {
    const code = readFileSync(join(SRC, 'index.ts'), 'utf8')

    assert.doesNotMatch(code, /export \*/)
  })

  test('offers these values and no other', async () => {
    assert.deepEqual(Object.keys(await import('../src/index.ts')), [
      'MeshError',
      'PROMETHEUS_CONTENT_TYPE',
      'createMesh',
      'currentContext',
      'defaultMesh',
      'mergeStats',
      'meshFetch',
      'requireIdentity',
    ])
  })
})

describe('a strategy', () => {
  for (const folder of FOLDERS) {
    const names = globSync('*.ts', { cwd: join(SRC, folder) }).map((file) => basename(file, '.ts'))

    test(`of ${folder} exports a function`, async () => {
      for (const name of names) {
        const values = Object.values(await load(folder, name))

        assert.ok(
          values.some((value) => typeof value === 'function'),
          name,
        )
      }
    })

    test(`of ${folder} has its page in the folder's README.md`, () => {
      assert.ok(existsSync(join(SRC, folder, 'README.md')))
    })
  }

  test('that a configuration file can name is made by the function of that name', async () => {
    for (const file of globSync(['balancer/*.ts', 'discovery/*.ts'], { cwd: SRC })) {
      const name = basename(file, '.ts')
      const camel = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
      const made = Object.entries(await load(dirname(file), name)).filter(
        ([key, value]) => key.startsWith(camel) && typeof value === 'function',
      )

      assert.notDeepEqual(made, [], file)
    }
  })
})

const load = async (folder: string, name: string) => (await import(join(SRC, folder, `${name}.ts`))) as Record<string, unknown>

const sourceOf = (built: string) => join(ROOT, built.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))
