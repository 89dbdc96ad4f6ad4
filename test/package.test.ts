import assert from 'node:assert/strict'
import { type ExecFileException, execFile } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'

const ROOT = join(import.meta.dirname, '..')
const MODULES = join(ROOT, 'node_modules')
const TSC = join(MODULES, 'typescript/bin/tsc')

/** Entries that take an optional peer to load, and which. */
const PEERS: Readonly<Record<string, string>> = { 'inmesh/grpc': '@grpc/grpc-js', 'inmesh/fastify': 'fastify' }

interface Manifest {
  readonly exports: Readonly<Record<string, string | null | { readonly types: string; readonly default: string }>>
  readonly dependencies: Readonly<Record<string, string>>
}

/** The package built, packed and unpacked in an application that has its runtime dependencies and nothing else. */
describe('the package', () => {
  const work = mkdtempSync(join(tmpdir(), 'inmesh-package-'))
  const app = join(work, 'app')
  const installed = join(app, 'node_modules', 'inmesh')
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
  let entries: string[] = []

  before(async () => {
    await installFromTarball()
    entries = entriesOf(manifest, installed).filter((entry) => PEERS[entry] === undefined)
  })
  after(() => rmSync(work, { recursive: true, force: true }))

  async function installFromTarball() {
    const source = join(work, 'source')
    for (const file of ['package.json', 'src', 'LICENSE', 'CHANGELOG.md', 'README.md']) {
      if (existsSync(join(ROOT, file))) cpSync(join(ROOT, file), join(source, file), { recursive: true })
    }
    await node(ROOT, TSC, '-p', 'tsconfig.build.json', '--outDir', join(source, 'dist'))
    await run(source, 'npm', ['pack', '--ignore-scripts', '--pack-destination', work])
    mkdirSync(installed, { recursive: true })
    await run(work, 'tar', ['-xzf', globSync('*.tgz', { cwd: work })[0] ?? '', '-C', installed, '--strip-components=1'])
    for (const name of [...Object.keys(manifest.dependencies), '@types/node']) link(name)
    writeFileSync(join(app, 'package.json'), '{ "private": true }')
  }

  function link(name: string) {
    mkdirSync(dirname(join(app, 'node_modules', name)), { recursive: true })
    symlinkSync(join(MODULES, name), join(app, 'node_modules', name), 'junction')
  }

  test('holds the build with declarations and maps, the sources, the licence, and nothing else', () => {
    const files = globSync('**/*', { cwd: installed, withFileTypes: false }).map((file) => file.replaceAll('\\', '/'))
    const odd = files.filter((file) => !/^(dist|src)(\/|$)|^(package\.json|LICENSE|CHANGELOG\.md|README\.md)$/.test(file))
    const built = files.filter((file) => /^dist\/.*\.js$/.test(file))

    assert.deepEqual(odd, [])
    for (const file of built) {
      for (const beside of ['.d.ts', '.d.ts.map', '.js.map'])
        assert.ok(files.includes(file.replace(/\.js$/, beside)), `${file} lacks its ${beside}`)
    }
    assert.equal(built.length, files.filter((file) => /^src\/.*\.ts$/.test(file)).length)
  })

  test('imports built files by their built names', () => {
    const strays = globSync('dist/**/*.js', { cwd: installed }).filter((file) =>
      /\b(?:from|import)\s*\(?\s*['"]\.[^'"]*\.ts['"]/.test(readFileSync(join(installed, file), 'utf8')),
    )

    assert.deepEqual(strays, [])
  })

  test('can be required from CommonJS, every entry of it', async () => {
    const { stdout } = await node(
      app,
      '-e',
      'for (const id of process.argv.slice(1)) console.log(id, typeof require(id))',
      ...entries,
    )

    assert.deepEqual(
      stdout.trim().split('\n'),
      entries.map((entry) => `${entry} object`),
    )
  })

  test('can be imported, every entry of it', async () => {
    const script = 'for (const id of process.argv.slice(1)) console.log(id, typeof (await import(id)))'
    const { stdout } = await node(app, '--input-type=module', '-e', script, ...entries)

    assert.deepEqual(
      stdout.trim().split('\n'),
      entries.map((entry) => `${entry} object`),
    )
  })

  test('neither holds the process nor says a word when it is preloaded', async () => {
    const { stdout, stderr } = await node(app, '--import', 'inmesh/register', '-e', '')

    assert.equal(stdout + stderr, '')
  })

  test('receives the requests of an application that is not changed', async () => {
    const script = `
      const server = require('node:http').createServer((request, response) => response.end(typeof request.mesh))
      server.listen(0, '127.0.0.1', async () => {
        const answer = await fetch('http://127.0.0.1:' + server.address().port)
        console.log(await answer.text(), require('inmesh').defaultMesh().stats().inbound.length)
        process.exit()
      })`

    assert.equal((await node(app, '--import', 'inmesh/register', '-e', script)).stdout, 'object 1\n')
  })

  test('finds strategies by the names of their files', async () => {
    const options = {
      services: { voting: { balancer: 'p2c', discovery: { static: ['127.0.0.1:1'] }, breaker: 'consecutive-failures' } },
    }
    const script = `require('inmesh').createMesh(${JSON.stringify(options)}); console.log('made')`

    assert.equal((await node(app, '-e', script)).stdout, 'made\n')
  })

  test('brings the command line, which npx finds and runs', async () => {
    const bin = join(installed, 'dist/cli/inmesh.js')

    assert.match(readFileSync(bin, 'utf8'), /^#!\/usr\/bin\/env node\n/)
    assert.match((await node(app, bin, '--help')).stdout, /^ {2}ca init /m)
    mkdirSync(join(app, 'node_modules', '.bin'), { recursive: true })
    symlinkSync('../inmesh/dist/cli/inmesh.js', join(app, 'node_modules', '.bin', 'inmesh'))
    chmodSync(bin, 0o755)
    assert.match((await run(app, 'npx', ['--no', '--', 'inmesh', '--help'])).stdout, /^ {2}identity /m)
  })

  test('says which package is missing for an entry that takes an optional one, and loads it when it is there', async () => {
    await assert.rejects(node(app, '-e', "require('inmesh/grpc')"), /@grpc\/grpc-js/)

    for (const name of Object.values(PEERS)) link(name)
    const script = 'for (const id of process.argv.slice(1)) console.log(id, typeof require(id))'
    const { stdout } = await node(app, '-e', script, ...Object.keys(PEERS))

    assert.deepEqual(
      stdout.trim().split('\n'),
      Object.keys(PEERS).map((entry) => `${entry} object`),
    )
    entries.push(...Object.keys(PEERS))
  })

  test('meshes the clients and servers of grpc-js of an application that is not changed', async () => {
    const script = `
      import grpc from '@grpc/grpc-js'
      const server = new grpc.Server()
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_, port) => {
        const client = new grpc.Client('voting:' + port, grpc.credentials.createInsecure())
        client.makeUnaryRequest('/a.B/C', Buffer.from, Buffer.from, Buffer.alloc(0), ({ code }) => {
          const { services, inbound } = require('inmesh').defaultMesh().stats()
          console.log(code, services[0].calls.total, inbound[0].protocol)
          process.exit()
        })
      })`
    const file = join(app, 'grpc.mjs')
    writeFileSync(file, `import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)\n${script}`)
    const runtime = { INMESH_RUNTIME_DIR: join(work, 'run'), INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: 'true' }
    const { stdout, stderr } = await run(app, process.execPath, ['--import', 'inmesh/register', file], runtime)

    assert.equal(stdout + stderr, '12 1 grpc\n')
  })

  for (const resolution of ['nodenext', 'bundler']) {
    test(`type-checks in an application with module resolution ${resolution}`, async () => {
      const modules = resolution === 'bundler' ? 'esnext' : resolution
      const file = join(app, `${resolution}.mts`)
      writeFileSync(
        file,
        entries.map((entry, index) => `import * as entry${index} from '${entry}'\nvoid entry${index}\n`).join(''),
      )
      const flags = ['--noEmit', '--strict', '--ignoreConfig', '--types', 'node', '--target', 'es2024']

      await node(app, TSC, ...flags, '--module', modules, '--moduleResolution', resolution, file)
    })
  }
})

describe('the lock file', () => {
  test('names no place that a package was fetched from', () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { resolved?: string }>
    }
    const placed = Object.entries(packages).filter(([, entry]) => entry.resolved !== undefined)

    assert.deepEqual(
      placed.map(([name]) => name),
      [],
    )
  })
})

/** Every module that the exports offer: those named, and each built file that a pattern matches. The manifest itself is not code. */
function entriesOf({ exports }: Manifest, installed: string): string[] {
  const hidden = Object.keys(exports).filter((name) => exports[name] === null)
  return Object.entries(exports).flatMap(([name, target]) => {
    if (target === null || typeof target === 'string') return []
    return namesOf(name, target.default, installed)
      .filter((one) => !hidden.some((pattern) => one.startsWith(pattern.slice(0, -1))))
      .map((one) => `inmesh${one.slice(1)}`)
  })
}

/** What a key of the exports stands for: itself, or all that its pattern matches. */
function namesOf(name: string, target: string, installed: string): string[] {
  if (!name.includes('*')) return [name]
  const [head = '', tail = ''] = target.slice(2).split('*')
  return globSync(`${head}**/*${tail}`, { cwd: installed })
    .map((file) => name.replace('*', file.replaceAll('\\', '/').slice(head.length, -tail.length)))
    .sort()
}

const node = (cwd: string, ...args: string[]) => run(cwd, process.execPath, args)

/** Runs a program to its end; rejects with all that it printed when that takes 60 s or is a failure. */
function run(
  cwd: string,
  program: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string) =>
      error ? reject(new Error(`${error.message}\n${stdout}${stderr}`)) : resolve({ stdout, stderr })
    execFile(
      program,
      args,
      { cwd, env: { ...process.env, ...variables }, timeout: 60_000, shell: process.platform === 'win32' && program === 'npm' },
      done,
    )
  })
}
