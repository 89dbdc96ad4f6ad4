import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runtimeDirectory } from '../../src/core/runtime-directory.ts'

/** A directory to play in, and an environment that is put back afterwards. */
function setUp(t: TestContext, environment: Record<string, string | undefined> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  const before = { ...process.env }
  const set = { INMESH_RUNTIME_DIR: undefined, XDG_RUNTIME_DIR: undefined, TMPDIR: root, ...environment }
  t.after(() => {
    rmSync(root, { recursive: true, force: true })
    for (const key of Object.keys(set)) setVariable(key, before[key])
  })
  for (const [key, value] of Object.entries(set)) setVariable(key, value?.replace('ROOT', root))
  return root
}

function setVariable(key: string, value: string | undefined): void {
  if (value === undefined) delete process.env[key]
  else process.env[key] = value
}

const uid = process.getuid?.()

test('is made for this user alone, below the directory for temporary files', (t) => {
  const root = setUp(t)

  const path = runtimeDirectory()

  assert.equal(path, join(root, `inmesh-${uid}`))
  assert.equal(statSync(path).mode & 0o777, 0o700)
  assert.equal(runtimeDirectory(), path)
})

test('is the one of the session when there is one, and the one asked for before that', (t) => {
  const root = setUp(t, { XDG_RUNTIME_DIR: 'ROOT' })

  const session = runtimeDirectory()
  process.env.INMESH_RUNTIME_DIR = join(root, 'deep', 'er')
  const asked = runtimeDirectory()

  assert.equal(session, join(root, 'inmesh'))
  assert.equal(asked, join(root, 'deep', 'er'))
  assert.equal(statSync(asked).mode & 0o777, 0o700)
})

test("ignores a session directory that is missing, relative or another user's", (t) => {
  const root = setUp(t, { XDG_RUNTIME_DIR: 'ROOT/missing' })
  const missing = runtimeDirectory()
  process.env.XDG_RUNTIME_DIR = '.'
  const relative = runtimeDirectory()
  const theirs = join(root, 'theirs')
  mkdirSync(theirs)
  if (uid === 0) chownSync(theirs, 12_345, 12_345)
  process.env.XDG_RUNTIME_DIR = uid === 0 ? theirs : '/'

  assert.deepEqual([missing, relative, runtimeDirectory()], Array(3).fill(join(root, `inmesh-${uid}`)))
})

test('refuses a directory that others may read, write or enter', (t) => {
  const root = setUp(t)
  const path = join(root, 'open')
  mkdirSync(path)

  for (const mode of [0o740, 0o720, 0o710, 0o704, 0o702, 0o701, 0o777]) {
    chmodSync(path, mode)
    assert.throws(() => runtimeDirectory(path), {
      code: 'INMESH_DISCOVERY',
      message: `runtime directory ${path}: others may enter it (mode 0${mode.toString(8)}), run: chmod 700 ${path}`,
    })
  }
  chmodSync(path, 0o700)
  assert.equal(runtimeDirectory(path), path)
})

test('refuses a symbolic link, even to a directory of ours', (t) => {
  const root = setUp(t)
  mkdirSync(join(root, 'real'), { mode: 0o700 })
  symlinkSync(join(root, 'real'), join(root, 'link'))
  symlinkSync(join(root, 'nowhere'), join(root, 'dangling'))

  assert.throws(() => runtimeDirectory(join(root, 'link')), {
    code: 'INMESH_DISCOVERY',
    message: /link: is a symbolic link, remove it or set/,
  })
  assert.throws(() => runtimeDirectory(join(root, 'dangling')), { code: 'INMESH_DISCOVERY' })
})

test('refuses what is no directory or can not be one', (t) => {
  const root = setUp(t)
  writeFileSync(join(root, 'file'), '')

  assert.throws(() => runtimeDirectory(join(root, 'file')), { code: 'INMESH_DISCOVERY', message: /file: is not a directory/ })
  assert.throws(() => runtimeDirectory(join(root, 'file', 'below')), {
    code: 'INMESH_DISCOVERY',
    message: /below: can't be made \(ENOTDIR\), set INMESH_RUNTIME_DIR to a directory of your own$/,
  })
})

test("refuses another user's directory", (t) => {
  const root = setUp(t)
  const path = join(root, 'theirs')
  mkdirSync(path, { mode: 0o700 })
  // Only root can give a directory away; for anybody else the root directory is somebody else's.
  if (uid === 0) chownSync(path, 12_345, 12_345)
  const theirs = uid === 0 ? path : '/'

  assert.throws(() => runtimeDirectory(theirs), {
    code: 'INMESH_DISCOVERY',
    message: /: belongs to user \d+ and not to user \d+, set INMESH_RUNTIME_DIR/,
  })
})
