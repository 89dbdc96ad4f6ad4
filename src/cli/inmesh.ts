#!/usr/bin/env node
import { systemClock, systemRandom } from '../core/clock.ts'
import { askOnce } from './ask-once.ts'
import { run } from './run.ts'

// Whoever reads the output may have seen enough: `inmesh ca inspect server.pem | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

process.exitCode = await run(process.argv.slice(2), {
  runtime: { clock: systemClock, random: systemRandom, retryLoop: askOnce },
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  colours: process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
})
