// voting: counts votes. A gRPC service with a method for each emoji, as in the original.
import { setTimeout as pause } from 'node:timers/promises'
import { type handleUnaryCall, status } from '@grpc/grpc-js'
import { createMesh } from 'inmesh'
import { catalogue, voteMethod } from './catalogue.ts'
import { Reporter } from './reporter.ts'
import { serve, VotingService } from './services.ts'

const mesh = createMesh({ name: 'voting' })
const reporter = new Reporter(mesh)
/** One replica is slower than the others. */
const delayMs = Number(process.env['VOTING_DELAY_MS'] ?? 0)
const votes = new Map<string, number>()
/** The latest ids, enough to know a vote that is sent again. */
const seen = new Set<string>()

function voteFor(shortcode: string): handleUnaryCall<{ voteId: string }, object> {
  return async (call, done) => {
    reporter.served(call.getPath())
    if (delayMs > 0) await pause(delayMs)
    // as in the original, nobody gets to vote for the doughnut
    if (shortcode === ':doughnut:') return done({ code: status.UNKNOWN, details: 'cannot vote for the doughnut' })
    count(shortcode, call.request.voteId)
    return done(null, {})
  }
}

function count(shortcode: string, id: string): void {
  if (!seen.has(id)) votes.set(shortcode, (votes.get(shortcode) ?? 0) + 1)
  seen.add(id)
  if (seen.size > 10_000) seen.delete(seen.values().next().value as string)
}

const Results: handleUnaryCall<object, object> = (call, done) => {
  reporter.served(call.getPath())
  done(null, { results: [...votes].map(([shortcode, n]) => ({ shortcode, votes: n })) })
}

const votesFor = catalogue.map(({ shortcode }) => [voteMethod(shortcode), voteFor(shortcode)])
await serve(mesh, VotingService, { ...Object.fromEntries(votesFor), Results })
reporter.start()
