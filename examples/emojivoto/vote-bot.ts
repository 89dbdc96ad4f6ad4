// vote-bot: votes without pause, now and then for the doughnut. Each vote is a trace of its own, and has only so much time.
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { createMesh } from 'inmesh'
import { Reporter } from './reporter.ts'

/** How long the bot waits for web, in milliseconds. web, emoji and voting know what is left of it. */
const PATIENCE_MS = 5_000
const VOTERS = 4
/** Share of the votes that go to the doughnut, as in the original. */
const DOUGHNUT_SHARE = 0.15
/** Share of the votes whose way is to be noted. */
const SAMPLED_SHARE = 0.05
/** After how many votes a voter looks how it stands. */
const CURIOUS_AFTER = 10

const mesh = createMesh({ name: 'vote-bot', services: { web: { timeoutMs: PATIENCE_MS } } })
const reporter = new Reporter(mesh)
reporter.start()

async function vote(): Promise<void> {
  const headers = { traceparent: newTrace() }
  const answer = await mesh.fetch('http://web/api/list', { headers })
  const emojis = (await answer.json()) as { shortcode: string }[]
  const choice = Math.random() < DOUGHNUT_SHARE ? ':doughnut:' : emojis[Math.floor(Math.random() * emojis.length)]?.shortcode
  const voted = await mesh.fetch(`http://web/api/vote?choice=${encodeURIComponent(choice ?? '')}`, { headers })
  await voted.text()
}

/** As W3C Trace Context has it: version, trace, span, and whether it is sampled. */
function newTrace(): string {
  const flags = Math.random() < SAMPLED_SHARE ? '01' : '00'
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-${flags}`
}

async function look(): Promise<void> {
  const board = await mesh.fetch('http://web/api/leaderboard')
  await board.text()
}

async function voteForEver(): Promise<void> {
  for (let votes = 1; !reporter.ending.aborted; votes++) {
    await (votes % CURIOUS_AFTER === 0 ? look() : vote()).catch(async (error: Error) => {
      if (!reporter.ending.aborted) console.error(`vote-bot: ${error.cause ?? error}`)
      await pause(100)
    })
  }
}

for (let i = 0; i < VOTERS; i++) voteForEver()
