import { type Dispatcher, getGlobalDispatcher, setGlobalDispatcher } from 'undici'

/** Where undici's calls go at present. */
export function presentDispatcher(): Dispatcher {
  return getGlobalDispatcher()
}

/** From now on, undici's calls and those of Node's own fetch go through `dispatcher`. */
export function becomeGlobal(dispatcher: Dispatcher): void {
  setGlobalDispatcher(dispatcher)
}
