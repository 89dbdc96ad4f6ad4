// web: what the voters see, by HTTP; asks emoji and voting by their names, by gRPC. No address is configured anywhere, and nothing is passed on by hand.
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { createMesh } from 'inmesh'
import { inmeshFastify } from 'inmesh/fastify'
import { catalogue, voteMethod } from './catalogue.ts'
import { Reporter } from './reporter.ts'
import { ask, clientOf, EmojiService, VotingService } from './services.ts'

const mesh = createMesh({ name: 'web' })
const reporter = new Reporter(mesh)
const emoji = clientOf(mesh, 'emoji', EmojiService)
const voting = clientOf(mesh, 'voting', VotingService)

const app = Fastify()
app.register(inmeshFastify, { mesh })
app.addHook('preHandler', async ({ routeOptions }) => reporter.served(routeOptions.url ?? ''))

app.get('/api/list', async () => {
  const { list } = await ask(emoji, emoji.ListAll, {})
  return list
})

app.get<{ Querystring: { choice?: string } }>('/api/vote', async ({ query }, reply) => {
  const { emoji: found } = await ask(emoji, emoji.FindByShortcode, { shortcode: query.choice ?? '' })
  const vote = found === null ? undefined : voting[voteMethod(found.shortcode)]
  if (vote === undefined) return reply.code(400).send('no such emoji\n')
  await ask(voting, vote, { voteId: randomUUID() })
  return 'thanks\n'
})

/** As one replica of voting has counted. */
app.get('/api/leaderboard', async () => {
  const { results } = await ask(voting, voting.Results, {})
  const unicode = new Map(catalogue.map((one) => [one.shortcode, one.unicode]))
  return results.map((row) => ({ ...row, unicode: unicode.get(row.shortcode) })).sort((a, b) => b.votes - a.votes)
})

mesh.announce(app.server)
await app.listen({ port: 0, host: '127.0.0.1' })
reporter.start()
