import { matcher } from '../../../src/routing/match.ts'
import { matchProblems } from '../../../src/routing/match-problems.ts'
import { byPrecedence } from '../../../src/routing/route-table.ts'
import type { RequestMatching } from '../../../src/server/authorization/request-matching.ts'

/** What a mesh gives its reception of routing. */
export const matching: RequestMatching = { problems: matchProblems, compile: matcher, byPrecedence }
