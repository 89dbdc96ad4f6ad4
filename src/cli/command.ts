import type { styleText } from 'node:util'
import type { Runtime } from '../core/clock.ts'

/**
 * One command of the command line: a file in `commands/` that exports it as `command`. The folder is the registry: `commands/ca/init.ts` is
 * `inmesh ca init`.
 */
export interface Command {
  /** One line, for the list of commands. */
  readonly summary: string
  /** What it takes besides options: `<file | host:port>...`; empty if nothing. */
  readonly takes: string
  /** How many of these, at least and at most. */
  readonly count: readonly [min: number, max: number]
  /** What more there is to say, in paragraphs. */
  readonly about: readonly string[]
  /** By their long names; `--json` and `--help` are everybody's. */
  readonly options: Readonly<Record<string, CommandOption>>
  /** @throws UsageError for a command line that is wrong, any other error for what can't be done */
  run(invocation: Invocation): Promise<Answer>
}

export interface CommandOption {
  /** What its value is: `<dir>`; an option without one is a flag. */
  readonly value?: string
  readonly multiple?: boolean
  readonly help: string
}

/** A command line, read. */
export interface Invocation {
  readonly args: readonly string[]
  /** An option's value; undefined when it is not given. */
  text(option: string): string | undefined
  /** All values of an option that may be given several times. */
  texts(option: string): readonly string[]
  isSet(flag: string): boolean
  readonly runtime: Runtime
}

/** What a command has found or done. */
export interface Answer {
  /** For `--json`. */
  readonly json: unknown
  /** For people. What strangers wrote has gone through `printable`. */
  lines(paint: Paint): readonly string[]
  /** Whether the answer is no: exit code 1. */
  readonly negative?: boolean
}

/** Colours a text, where there are colours. */
export type Paint = (style: Parameters<typeof styleText>[0], text: string) => string

/** A command line that is wrong: exit code 2. The message says what to do. */
export class UsageError extends Error {}
