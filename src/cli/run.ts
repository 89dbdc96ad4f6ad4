import { readFileSync } from 'node:fs'
import { styleText } from 'node:util'
import type { Runtime } from '../core/clock.ts'
import { printable } from '../core/printable.ts'
import { type Answer, type Paint, UsageError } from './command.ts'
import { findCommand } from './command-folder.ts'
import { commandHelp, commandList } from './help.ts'
import { readInvocation } from './invocation.ts'

/** What surrounds a run of the command line, so that a test can stand in for it. */
export interface Surroundings {
  readonly runtime: Runtime
  out(text: string): void
  err(text: string): void
  readonly colours: boolean
}

/** 0: done, or yes. 1: the answer is no, or it can't be done. 2: the command line is wrong. */
export type ExitCode = 0 | 1 | 2

/**
 * Runs a command line to its end. Never throws for what is typed or found: that is one line on `err`, which says what was wrong and what to do.
 *
 * @param argv without the program's own name
 */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const words: string[] = []
  try {
    return await answer(argv, words, surroundings)
  } catch (error) {
    const name = ['inmesh', ...words].join(' ')
    const hint = error instanceof UsageError ? ` (see ${name} --help)` : ''
    surroundings.err(`${name}: ${printable((error as Error).message.replaceAll('\n', '; '))}${hint}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

/** @param words is given the words that name the command, for errors */
async function answer(argv: readonly string[], words: string[], surroundings: Surroundings): Promise<ExitCode> {
  const { out, err, runtime, colours } = surroundings
  const paint: Paint = (style, text) => (colours ? styleText(style, text, { validateStream: false }) : text)
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v')) return printed(out, [version()])
  const found = findCommand(argv, words)
  if (found === undefined) {
    const isAsked = argv.some((word) => word === '--help' || word === '-h' || word === 'help')
    printed(isAsked ? out : err, commandList(words, paint))
    return isAsked ? 0 : 2
  }
  const read = readInvocation(found.command, found.rest, runtime)
  if (read === 'help') return printed(out, commandHelp(words, found.command, paint))
  return report(await found.command.run(read.invocation), read.json, paint, out)
}

function report(found: Answer, json: boolean, paint: Paint, out: (text: string) => void): ExitCode {
  printed(out, json ? [JSON.stringify(found.json, null, 2)] : found.lines(paint))
  return found.negative ? 1 : 0
}

function printed(out: (text: string) => void, lines: readonly string[]): ExitCode {
  out(`${lines.join('\n')}\n`)
  return 0
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
