import type { Command, CommandOption, Paint } from './command.ts'
import { commandsIn } from './command-folder.ts'
import { COMMON_OPTIONS } from './invocation.ts'

/** A group's commands, or all, each with its line. */
export function commandList(group: readonly string[], paint: Paint): string[] {
  const commands = commandsIn(group).map(([words, { summary }]) => [words.join(' '), summary] as const)
  const usage = ['inmesh', ...group, '<command>', '[options]'].join(' ')
  return [
    `${paint('bold', 'usage')}  ${usage}`,
    '',
    ...columns(commands),
    '',
    'Each takes --help and --json. Exit codes: 0 done, or yes; 1 no, or it could not be done; 2 the command line is wrong.',
  ]
}

/** All about one command. */
export function commandHelp(words: readonly string[], command: Command, paint: Paint): string[] {
  const { summary, takes, about, options } = command
  return [
    `${paint('bold', 'usage')}  ${['inmesh', ...words, ...(takes === '' ? [] : [takes]), '[options]'].join(' ')}`,
    '',
    summary,
    ...about.flatMap((paragraph) => ['', paragraph]),
    '',
    ...columns(Object.entries({ ...options, ...COMMON_OPTIONS }).map(([name, option]) => [spelled(name, option), option.help])),
  ]
}

const spelled = (name: string, { value }: CommandOption) => `--${name}${value === undefined ? '' : ` ${value}`}`

/** Rows of two cells, the first as wide as its widest. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([first]) => first.length))
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`.trimEnd())
}
