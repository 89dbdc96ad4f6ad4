import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, posix } from 'node:path'
import { describe, test } from 'node:test'

const ROOT = join(import.meta.dirname, '..')

/** Folder, or file outside of any -> the folders and files of src that it may import. A folder may always import itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  balancer: ['core'],
  discovery: ['core'],
  resilience: ['core'],
  routing: ['core'],
  tls: ['core'],
  telemetry: ['core'],
  transport: ['core', 'tls'],
  intercept: ['core', 'transport'],
  server: ['core', 'tls'],
  inject: ['core', 'server', 'discovery', 'mesh.ts', 'grpc-doors.ts', 'intercept/node-http.ts'],
  admin: ['core', 'telemetry'],
  // a CA is made and inspected where no mesh runs: with the parts themselves
  cli: ['index.ts', 'admin', 'core', 'tls'],
  dashboard: ['index.ts', 'admin'],
  // the files that put the parts together
  'config.ts': ['*'],
  'default-mesh.ts': ['*'],
  'grpc-doors.ts': ['*'],
  'index.ts': ['*'],
  'mesh.ts': ['*'],
  'mesh-security.ts': ['*'],
  'mtls-options.ts': ['*'],
  'open-service.ts': ['*'],
  'open-services.ts': ['*'],
  'register.ts': ['*'],
  'require-identity.ts': ['core', 'tls'],
  'service-config.ts': ['*'],
  'strategies.ts': ['core'],
}

/** Third-party package -> its one home: a file, or a folder (ends in `/`). */
const HOME: Readonly<Record<string, readonly string[]>> = {
  undici: ['intercept/undici/', 'transport/'],
  'p-retry': ['resilience/retry-loop.ts'],
  opossum: ['resilience/opossum.ts'],
  'node-forge': ['tls/'],
  yaml: ['discovery/file.ts'],
  '@opentelemetry/api': ['telemetry/'],
  '@opentelemetry/sdk-metrics': ['telemetry/'],
}

/** The same for packages that only those have who use them (optional peers): imported by their own entries alone. */
const OPTIONAL_HOME: Readonly<Record<string, readonly string[]>> = {
  '@grpc/grpc-js': ['intercept/grpc/', 'server/'],
  fastify: ['server/fastify.ts'],
}

/** Files that may be longer than 300 lines, and why. */
const MAY_BE_LONG: Readonly<Record<string, string>> = {}

/** Files besides core/clock.ts that may read the clock, start timers or draw lots, and why. */
const MAY_READ_THE_CLOCK: Readonly<Record<string, string>> = {
  'intercept/grpc/deadline.ts': 'grpc-js counts deadlines in milliseconds since 1970',
  'server/grpc-inbound.ts': 'the same',
  'intercept/undici/connect.ts': 'one turn of the loop, no time, tells a message from a stream',
}

const CLOCK =
  /(?<![.\w$])(?:globalThis\.)?(?:Date\.now|new Date\(\)|performance\.now|set(?:Timeout|Interval|Immediate)|Math\.random)\b(?!\([^()]*\)(?:: \w+)? \{)/
const ANY = /(?:[:<|&,(=]\s*|\bas\s+|\bextends\s+)any\b(?!\s*:)/
const SHAPELESS = /^(?:utils?|helpers?|common|misc|types)\.ts$|(?:^|\/)(?:utils?|helpers?|common|misc)\//

interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

interface Source {
  /** Relative to src, with `/`. */
  readonly file: string
  readonly lines: number
  /** Without comments. */
  readonly code: string
  readonly imports: readonly Import[]
}

const SOURCES: readonly Source[] = globSync('src/**/*.ts', { cwd: ROOT }).sort().map(readSource)

describe('every file of src', () => {
  test('imports only the folders that its own folder may import', () => {
    const strays = edges().filter(([from, to]) => !mayImport(from, to))

    assert.deepEqual(strays.map(shownEdge), [])
  })

  test('imports a third-party package only in the home of that package', () => {
    const strays = SOURCES.flatMap(({ file, imports }) =>
      imports
        .map(({ specifier }) => packageOf(specifier))
        .filter((name) => name !== undefined && !(HOME[name] ?? OPTIONAL_HOME[name] ?? []).some((home) => isIn(file, home)))
        .map((name) => `${file} -> ${name}`),
    )

    assert.deepEqual(strays, [])
  })

  test('is in no import cycle', () => {
    assert.deepEqual(cycles(edges({ typeOnly: false })), [])
  })

  test('has a name that says what is in it', () => {
    assert.deepEqual(
      SOURCES.map(({ file }) => file).filter((file) => SHAPELESS.test(file) || SHAPELESS.test(basename(file))),
      [],
    )
  })

  test('re-exports nothing, src/index.ts excepted', () => {
    const barrels = SOURCES.filter(
      ({ file, code }) =>
        file !== 'index.ts' && (basename(file) === 'index.ts' || /^export\b(?:\s+type)?\s*[*{][^'"=;]*\bfrom\b/m.test(code)),
    )

    assert.deepEqual(
      barrels.map(({ file }) => file),
      [],
    )
  })

  test('takes time and chance from the runtime', () => {
    const strays = SOURCES.filter(({ file }) => file !== 'core/clock.ts' && MAY_READ_THE_CLOCK[file] === undefined)

    assert.deepEqual(offences(strays, CLOCK), [])
  })

  test('contains no any', () => {
    assert.deepEqual(offences(SOURCES, ANY), [])
  })

  test('has at most 300 lines', () => {
    assert.deepEqual(
      SOURCES.filter(({ file, lines }) => lines > 300 && MAY_BE_LONG[file] === undefined).map(
        ({ file, lines }) => `${file}: ${lines}`,
      ),
      [],
    )
  })
})

describe('the tables', () => {
  test('name a home for each runtime dependency, and no other package', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }

    assert.deepEqual(Object.keys(HOME).sort(), Object.keys(dependencies).sort())
  })

  test('make no exception for a file that is gone or needs none', () => {
    const stale = [
      ...Object.keys(MAY_BE_LONG).filter((file) => (SOURCES.find((source) => source.file === file)?.lines ?? 0) <= 300),
      ...Object.keys(MAY_READ_THE_CLOCK).filter(
        (file) => !SOURCES.some((source) => source.file === file && CLOCK.test(source.code)),
      ),
    ]

    assert.deepEqual(stale, [])
  })
})

describe('the reader of imports', () => {
  test('tells type imports from others and sees every form', () => {
    const code = `
      import { a } from './a.ts'
      import type { B } from './b.ts'
      import { type C, d } from './c.ts'
      import './e.ts'
      export * from './f.ts'
      const g = await import('./g.ts')
      import {
        h,
      } from 'h'
      type I = import('./i.ts').I
    `

    assert.deepEqual(
      importsOf(code).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' (type)' : ''}`),
      ['./a.ts', './b.ts (type)', './c.ts', './e.ts', './f.ts', './g.ts', 'h', './i.ts'],
    )
  })

  test('is not misled by comments', () => {
    assert.deepEqual(
      importsOf(withoutComments("/** import { a } from 'a' */\n// import 'b'\nconst s = 'import(\\'c\\') /* '")),
      [],
    )
  })

  test('finds a cycle', () => {
    assert.deepEqual(
      cycles([
        ['a.ts', 'b.ts'],
        ['b.ts', 'c.ts'],
        ['c.ts', 'b.ts'],
      ]),
      ['b.ts -> c.ts -> b.ts'],
    )
  })
})

function readSource(path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8')
  const code = withoutComments(text)
  return {
    file: path.replaceAll('\\', '/').slice('src/'.length),
    lines: text.split('\n').length - 1,
    code,
    imports: importsOf(code),
  }
}

/** Keeps strings and line numbers. */
function withoutComments(text: string): string {
  return text.replace(
    /('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|(?<![:\\])\/\/.*$/gm,
    (all, string?: string) => (string === undefined ? all.replace(/[^\n]/g, '') : all),
  )
}

function importsOf(code: string): Import[] {
  const statement =
    /^\s*(?:import|export)\b(\s+type\b)?(?:[^'"=;]*?\bfrom)?\s*(['"])([^'"]+)\2|(?<!['"`].*)\bimport\(\s*(['"])([^'"]+)\4/gm
  return [...code.matchAll(statement)].map(([, type, , fixed, , lazy]) => ({
    specifier: fixed ?? lazy ?? '',
    typeOnly: type !== undefined,
  }))
}

/** The package that a specifier names; undefined for our own files and Node's modules. */
function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

type Edge = readonly [from: string, to: string]

/** Who imports whom within src. */
function edges({ typeOnly = true } = {}): Edge[] {
  return SOURCES.flatMap(({ file, imports }) =>
    imports
      .filter((one) => one.specifier.startsWith('.') && (typeOnly || !one.typeOnly))
      .map(({ specifier }): Edge => [file, posix.join(dirname(file), specifier)]),
  )
}

const shownEdge = ([from, to]: Edge) => `${from} -> ${to}`

function mayImport(from: string, to: string): boolean {
  const own = folderOf(from)
  const row = MAY_IMPORT[from] ?? MAY_IMPORT[own]
  return row !== undefined && (row.includes('*') || folderOf(to) === own || row.includes(folderOf(to)) || row.includes(to))
}

/** The first folder of a path; the file itself when it is in none. */
const folderOf = (file: string) => file.split('/')[0] ?? file

const isIn = (file: string, home: string) => file === home || (home.endsWith('/') && file.startsWith(home))

/** Each cycle once, from its first file in the order of the alphabet. */
function cycles(list: readonly Edge[]): string[] {
  const next = Map.groupBy(list, ([from]) => from)
  const found = new Set<string>()
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]) => {
    const start = path.indexOf(file)
    if (start >= 0) {
      const cycle = path.slice(start)
      const first = cycle.indexOf(cycle.toSorted()[0] ?? file)
      found.add([...cycle.slice(first), ...cycle.slice(0, first + 1)].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const [, to] of next.get(file) ?? []) walk(to, [...path, file])
    done.add(file)
  }
  for (const file of next.keys()) walk(file, [])
  return [...found].sort()
}

/** `file:line: text` of each line that matches outside of a string. */
function offences(sources: readonly Source[], pattern: RegExp): string[] {
  return sources.flatMap(({ file, code }) =>
    code
      .split('\n')
      .map((line, index) =>
        pattern.test(line.replace(/'(?:\\.|[^'\\])*'/g, "''")) ? `${file}:${index + 1}: ${line.trim()}` : '',
      )
      .filter(Boolean),
  )
}
