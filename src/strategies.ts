import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Runtime } from './core/clock.ts'
import { MeshError } from './core/errors.ts'
import { shown } from './core/options.ts'

/** Sources run as they are in development: the folder holds `.ts` then and `.js` when built. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const load = createRequire(import.meta.url)

/** For each option that takes a strategy: the folder of its files, and what the object has that such a strategy makes. */
const ROLES = {
  discovery: { folder: 'discovery', methods: ['watch'] },
  balancer: { folder: 'balancer', methods: ['update', 'pick'] },
  breaker: { folder: 'resilience', methods: ['acquire', 'judge', 'release'] },
  serviceBreaker: { folder: 'resilience', methods: ['admit', 'answer', 'close'] },
  retry: { folder: 'resilience', methods: ['deposit', 'next'] },
  hedge: { folder: 'resilience', methods: ['covers', 'delayMs', 'withdraw', 'observe'] },
  identity: { folder: 'tls', methods: ['watch'] },
  retryBudget: { folder: 'resilience', methods: ['deposit', 'withdraw'] },
} as const

export type StrategyRole = keyof typeof ROLES

/**
 * A strategy as a configuration file writes it: `p2c`, or `{ "ring-hash": { "key": { "header": "x-user" } } }` with options. The
 * name is that of a file: the folder is the registry. Whether a file is of any use for an option is told by what it makes, and by nothing
 * that would have to be kept in step with the folder.
 *
 * @param role the option it is for
 * @param path where it stands in the configuration, for the error
 * @throws MeshError INMESH_CONFIG for an unknown name, with the known ones, and for the strategy's own options
 */
export function strategyNamed(role: StrategyRole, written: string | Readonly<Record<string, unknown>>, path: string): unknown {
  const [name, options] = typeof written === 'string' ? [written, undefined] : single(written, path)
  if (!isThere(role, name)) throw unknownName(role, name, path)
  const factory = factoryIn(role, name)
  const strategy = factory === undefined ? undefined : withOptions(factory, name, options, path)
  if (misfitOf(role, strategy) !== undefined) throw unknownName(role, name, path)
  return strategy
}

/**
 * Checks a strategy that is given as a function, by trying it out once: a factory that was meant to be called first is found here, and not
 * when calls depend on it. What it made is closed again. So a factory only makes: it is cheap, makes a new object each time, and what needs
 * the network or a file waits for the object's first use, as discovery does for `watch`.
 *
 * @param role the option it is for
 * @param path where it stands in the configuration, for the error
 * @throws MeshError INMESH_CONFIG with what it should make and what it makes
 */
export function strategyGiven<T>(role: StrategyRole, factory: T, path: string): T {
  const misfit = misfitOf(role, factory)
  if (misfit === undefined) return factory
  const methods = ROLES[role].methods.join(', ')
  throw new MeshError('INMESH_CONFIG', `${path}: expected a function that makes an object with ${methods}, got ${misfit}`)
}

type Factory = (options: unknown) => unknown

function single(written: Readonly<Record<string, unknown>>, path: string): [string, unknown] {
  const [entry, ...more] = Object.entries(written)
  if (entry !== undefined && more.length === 0) return entry
  throw new MeshError(
    'INMESH_CONFIG',
    `${path}: expected one strategy's name with its options, got ${Object.keys(written).length} keys`,
  )
}

function directoryOf(role: StrategyRole): URL {
  return new URL(`./${ROLES[role].folder}/`, import.meta.url)
}

function isThere(role: StrategyRole, name: string): boolean {
  return /^[a-z][a-z0-9-]*$/.test(name) && existsSync(new URL(`${name}${EXTENSION}`, directoryOf(role)))
}

/** The factory is the export called after the file: `ringHash` in `ring-hash`, `staticEndpoints` in `static`. It takes options, if anything. */
function factoryIn(role: StrategyRole, name: string): Factory | undefined {
  const module: Record<string, unknown> = load(fileURLToPath(new URL(`${name}${EXTENSION}`, directoryOf(role))))
  const camel = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  const key = Object.hasOwn(module, camel) ? camel : Object.keys(module).find((k) => k.startsWith(camel))
  const factory = key === undefined ? undefined : module[key]
  return typeof factory === 'function' && factory.length <= 1 ? (factory as Factory) : undefined
}

function withOptions(factory: Factory, name: string, options: unknown, path: string): unknown {
  try {
    return factory(options)
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    throw new MeshError('INMESH_CONFIG', placed(error.message, factory.name, `${path}.${name}`), { cause: error })
  }
}

/** Says where the options stand, in place of the name of the function that they were given to. */
function placed(problems: string, factory: string, path: string): string {
  return problems
    .split('\n')
    .map((line) => (line.startsWith(factory) ? path + line.slice(factory.length) : `${path}: ${line}`))
    .join('\n')
}

/**
 * Tries it out, in a runtime where time stands still: nothing is started by this.
 *
 * @returns what it is instead of a strategy for this option, undefined when it is one
 */
function misfitOf(role: StrategyRole, strategy: unknown): string | undefined {
  if (typeof strategy !== 'function') return shown(strategy)
  try {
    const made: unknown = strategy(STILL, { deposit() {}, withdraw: () => false, balance: 0 })
    // what is no strategy at all may answer with a promise, and break it
    if (made instanceof Promise) made.catch(() => {})
    const has = (method: string) => typeof (made as Record<string, unknown> | null | undefined)?.[method] === 'function'
    if (has('close')) (made as { close(): void }).close()
    return ROLES[role].methods.every(has) ? undefined : misfitMade(made)
  } catch (error) {
    return misfitThrown(error)
  }
}

function misfitMade(made: unknown): string {
  if (made instanceof Promise) return 'one that makes a promise'
  return `one that makes ${shown(made)}${typeof made === 'function' ? ' (was it called?)' : ''}`
}

/** What makes factories takes the runtime for its options, and finds fault with them. */
function misfitThrown(error: unknown): string {
  const text = shown(error instanceof Error ? error.message : error)
  return `one that throws ${text}${error instanceof MeshError && error.code === 'INMESH_CONFIG' ? ' (was it called?)' : ''}`
}

const STILL: Runtime = {
  clock: { now: () => 0, wall: () => 0, after: () => ({ cancel() {} }), hold: () => ({ cancel() {} }) },
  random: () => 0,
  retryLoop: () => new Promise(() => {}),
}

function unknownName(role: StrategyRole, name: string, path: string): MeshError {
  const known = readdirSync(directoryOf(role))
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .filter((file) => isFor(role, file))
  return new MeshError('INMESH_CONFIG', `${path}: expected one of ${known.join(', ')}, got ${shown(name)}`)
}

/** One that can't be made without options, or can't be loaded without some package, is known all the same. */
function isFor(role: StrategyRole, name: string): boolean {
  try {
    const factory = factoryIn(role, name)
    return factory !== undefined && misfitOf(role, factory(undefined)) === undefined
  } catch (error) {
    return error instanceof MeshError || (error as { code?: string }).code === 'MODULE_NOT_FOUND'
  }
}
