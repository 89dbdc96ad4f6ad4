import type { GrpcRouteMatch } from '../core/route-match.ts'
import type { Matcher } from './match.ts'
import { headerTests, passHeaders, textTest } from './string-match.ts'

/** Compiles a match of gRPC calls. It goes before every match of HTTP's, which a gRPC call can pass, too. */
export function grpcMatcher({ method: { type, service, method }, headers = [] }: GrpcRouteMatch): Matcher {
  const isPattern = type === 'RegularExpression'
  const testPath = isPattern ? patternTest(service, method) : exactTest(service, method)
  const tests = headerTests(headers)
  // as with paths, the length of a pattern says nothing of how much it matches
  const [inService, inMethod] = isPattern ? [0, 0] : [service?.length ?? 0, method?.length ?? 0]
  return {
    matches: (call) => call.protocol === 'grpc' && testPath(call.path) && passHeaders(call, tests),
    precedence: [2, inService, inMethod, tests.length, 0],
  }
}

type PathTest = (path: string) => boolean

/** Without taking the path apart. */
function exactTest(service: string | undefined, method: string | undefined): PathTest {
  if (service === undefined) {
    const end = `/${method}`
    return (path) => path.length > end.length && path.endsWith(end)
  }
  const start = `/${service}/`
  if (method === undefined) return (path) => path.startsWith(start) && path.lastIndexOf('/') === start.length - 1
  const whole = start + method
  return (path) => path === whole
}

function patternTest(service = '.*', method = '.*'): PathTest {
  const testService = textTest('RegularExpression', service)
  const testMethod = textTest('RegularExpression', method)
  return (path) => {
    const mark = path.lastIndexOf('/')
    return mark > 0 && testMethod(path.slice(mark + 1)) && testService(path.slice(1, mark))
  }
}
