const ours = new WeakSet<object>()

/** Remembers that an interceptor is ours, so that no server gets two. Apart from the interceptor itself, since that loads grpc-js. */
export function markInterceptor<T extends object>(interceptor: T): T {
  ours.add(interceptor)
  return interceptor
}

/** Whether an interceptor is ours, of whatever mesh. */
export function isOurInterceptor(interceptor: unknown): boolean {
  return typeof interceptor === 'function' && ours.has(interceptor)
}
