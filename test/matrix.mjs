/**
 * Runs the tests on each version of Node.js that the package supports and prints one line a version. The versions come
 * from the `node` package of the registry and stay in node_modules/.cache.
 *
 * `npm run test:matrix`, or `npm run test:matrix -- 26` for some of them. Exit status 1 when a test fails on any.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const VERSIONS = process.argv.length > 2 ? process.argv.slice(2) : ['22.19.0', '24', '26']

let failed = false
for (const version of VERSIONS) {
  const started = Date.now()
  const node = nodeOf(version)
  const { status, stdout, stderr } = runTests(node)
  const count = (/** @type {string} */ word) => new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(stdout)?.[1] ?? '?'
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  const name = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
  if (status !== 0) process.stdout.write(`${stdout}${stderr}\n`)
  console.log(
    `${name.padEnd(10)} ${status === 0 ? 'passed' : 'FAILED'}  ${count('pass')} of ${count('tests')} tests in ${seconds} s`,
  )
  failed ||= status !== 0
}
process.exitCode = failed ? 1 : 0

/** The path of that version's executable; installs it first when it is not there. */
function nodeOf(/** @type {string} */ version) {
  const home = join(ROOT, 'node_modules', '.cache', 'node', version)
  const executable = join(home, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (existsSync(executable)) return executable
  mkdirSync(home, { recursive: true })
  // A package of its own: npm 12 runs an install script only where the package.json allows it.
  writeFileSync(join(home, 'package.json'), JSON.stringify({ private: true, allowScripts: { node: true } }))
  const install = ['install', '--no-package-lock', '--no-audit', '--no-fund', `node@${version}`]
  const { status, stderr } = spawnSync('npm', install, { cwd: home, encoding: 'utf8', shell: process.platform === 'win32' })
  if (status !== 0 || !existsSync(executable)) throw new Error(`could not install node@${version}: ${stderr}`)
  return executable
}

/** Children that a test starts by the name `node` get the same version. */
function runTests(/** @type {string} */ node) {
  const env = { ...process.env, PATH: `${join(node, '..')}${delimiter}${process.env.PATH}` }
  return spawnSync(node, ['--test', '--test-timeout=30000', '--test-reporter=spec', 'test/**/*.test.ts'], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
}
