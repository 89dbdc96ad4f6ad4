/** Whether a host is a plain name of one label, as services are called; `localhost`, addresses and dotted names are not ours. */
export function isServiceName(host: string): boolean {
  return /^[a-z][a-z0-9_-]*$/i.test(host) && host !== 'localhost'
}
