import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type Command, UsageError } from './command.ts'
import { suggestion } from './suggestion.ts'

/** Sources run as they are in development: the folder holds `.ts` then and `.js` when built. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const FOLDER = new URL('./commands/', import.meta.url)
const load = createRequire(import.meta.url)

/**
 * The command that a command line names, which alone is loaded.
 *
 * @param words is given the words that name it
 * @returns undefined when the words name a group of commands, or there are none
 * @throws UsageError for a word that names none
 */
export function findCommand(argv: readonly string[], words: string[]): { command: Command; rest: readonly string[] } | undefined {
  for (const [index, word] of argv.entries()) {
    if (word.startsWith('-') || (index === words.length && word === 'help')) return undefined
    const known = namesIn(words)
    if (!known.includes(word)) {
      throw new UsageError(`unknown command ${JSON.stringify(word)}${suggestion(word, known)}; there are ${known.join(', ')}`)
    }
    words.push(word)
    if (isFile(words)) return { command: loaded(words), rest: argv.slice(index + 1) }
  }
  return undefined
}

/** Every command of a group, or all: the words that name it, and itself. */
export function commandsIn(group: readonly string[]): readonly (readonly [words: readonly string[], command: Command])[] {
  return namesIn(group).flatMap((name) => {
    const words = [...group, name]
    return isFile(words) ? [[words, loaded(words)] as const] : commandsIn(words)
  })
}

const fileOf = (words: readonly string[]): URL => new URL(`${words.join('/')}${EXTENSION}`, FOLDER)

const isFile = (words: readonly string[]): boolean => existsSync(fileOf(words))

const loaded = (words: readonly string[]): Command => (load(fileURLToPath(fileOf(words))) as { command: Command }).command

function namesIn(group: readonly string[]): string[] {
  const names = readdirSync(new URL(group.map((word) => `${word}/`).join(''), FOLDER))
    .filter((name) => !name.endsWith('.d.ts'))
    .map((name) => (name.endsWith(EXTENSION) ? name.slice(0, -EXTENSION.length) : name))
  return names.filter((name) => /^[a-z][a-z-]*$/.test(name)).sort()
}
