// vote-bot: votes without pause, now and then for the doughnut.
import { setTimeout as pause } from 'node:timers/promises'
import { createMesh } from 'inmesh'
import { reportStats } from './report.ts'

const mesh = createMesh({ name: 'vote-bot' })
const ending = reportStats(mesh)

const VOTERS = 4
/** Share of the votes that go to the doughnut, as in the original. */
const DOUGHNUT_SHARE = 0.15

async function vote(): Promise<void> {
  const answer = await mesh.fetch('http://web/api/list')
  const emojis = (await answer.json()) as { shortcode: string }[]
  const choice = Math.random() < DOUGHNUT_SHARE ? ':doughnut:' : emojis[Math.floor(Math.random() * emojis.length)]?.shortcode
  const voted = await mesh.fetch(`http://web/api/vote?choice=${encodeURIComponent(choice ?? '')}`)
  await voted.text()
}

async function voteForEver(): Promise<void> {
  while (!ending.aborted) {
    await vote().catch(async (error: Error) => {
      if (!ending.aborted) console.error(`vote-bot: ${error.cause ?? error}`)
      await pause(100)
    })
  }
}

for (let i = 0; i < VOTERS; i++) voteForEver()
