// emoji: knows which emoji one can vote for. A gRPC service.
import type { handleUnaryCall } from '@grpc/grpc-js'
import { createMesh } from 'inmesh'
import { catalogue } from './catalogue.ts'
import { Reporter } from './reporter.ts'
import { EmojiService, serve } from './services.ts'

const mesh = createMesh({ name: 'emoji' })
const reporter = new Reporter(mesh)

const ListAll: handleUnaryCall<object, object> = (call, done) => {
  reporter.served(call.getPath())
  done(null, { list: catalogue })
}

const FindByShortcode: handleUnaryCall<{ shortcode: string }, object> = (call, done) => {
  reporter.served(call.getPath())
  done(null, { emoji: catalogue.find(({ shortcode }) => shortcode === call.request.shortcode) })
}

await serve(mesh, EmojiService, { ListAll, FindByShortcode })
reporter.start()
