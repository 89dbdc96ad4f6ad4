import { parseArgs } from 'node:util'
import type { Runtime } from '../core/clock.ts'
import { type Command, type CommandOption, type Invocation, UsageError } from './command.ts'
import { suggestion } from './suggestion.ts'

/** Options that every command has. */
export const COMMON_OPTIONS: Readonly<Record<string, CommandOption>> = {
  json: { help: 'answer in JSON' },
  help: { help: 'say what this command does' },
}

/**
 * Reads what follows a command's name.
 *
 * @returns `help` when that is asked for, whatever else is wrong
 * @throws UsageError for an unknown option, one without its value, or too many or too few arguments
 */
export function readInvocation(
  command: Command,
  argv: readonly string[],
  runtime: Runtime,
): { invocation: Invocation; json: boolean } | 'help' {
  const options = { ...command.options, ...COMMON_OPTIONS }
  const isOption = (word: string) => word === '--help' || word === '-h'
  const end = argv.indexOf('--')
  if (argv.slice(0, end < 0 ? argv.length : end).some(isOption)) return 'help'
  const { values, positionals } = parsed(argv, options)
  checkCount(command, positionals)
  const texts = (name: string) => [values[name] ?? []].flat().map(String)
  const isSet = (name: string) => values[name] === true
  return { json: isSet('json'), invocation: { args: positionals, text: (name) => texts(name).at(-1), texts, isSet, runtime } }
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

function parsed(argv: readonly string[], options: Command['options']): { values: Values; positionals: string[] } {
  const config = Object.entries(options).map(([name, { value, multiple = false }]) => [
    name,
    { type: value === undefined ? 'boolean' : 'string', multiple } as const,
  ])
  try {
    return parseArgs({ args: [...argv], options: Object.fromEntries(config), allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(readable(error as NodeJS.ErrnoException, argv, Object.keys(options)))
  }
}

function readable({ code, message }: NodeJS.ErrnoException, argv: readonly string[], names: readonly string[]): string {
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const name = /'(-[^']*)'/.exec(message)?.[1] ?? ''
    const known = names.map((known) => `--${known}`)
    return `unknown option ${name}${suggestion(name, known)}; there are ${known.join(', ')}`
  }
  if (code !== 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE') return message
  const name = /'(?:-\w, )?(--[\w-]+)/.exec(message)?.[1] ?? argv.at(-1)
  return /does not take/.test(message) ? `${name} takes no value` : `${name} needs a value`
}

function checkCount({ takes, count: [min, max] }: Command, given: readonly string[]): void {
  if (given.length >= min && given.length <= max) return
  if (max === 0) throw new UsageError(`takes no arguments, got ${JSON.stringify(given[0])}`)
  throw new UsageError(`expected ${takes}, got ${given.length === 0 ? 'nothing' : `${given.length} arguments`}`)
}
