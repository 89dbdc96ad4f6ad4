import type { Inbound } from '../../core/inbound.ts'

/** Who a request comes from: the peer's identity, else the client's address. Of an IPv6 address only the network counts: whoever has one has 2^64. */
export function clientKey(inbound: Inbound): string {
  const identity = inbound.peer.identity
  if (identity !== undefined) return identity
  const address = inbound.clientAddress
  return address.includes(':') ? network64(address) : address
}

/** The first four groups, without leading zeros: `2001:db8::1` -> `2001:db8:0:0`. */
function network64(address: string): string {
  const [head = '', tail = ''] = (address.split('%')[0] as string).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === '' ? [] : tail.split(':')
  const missing = address.includes('::') ? Math.max(0, 8 - before.length - after.length) : 0
  const groups = [...before, ...Array.from({ length: missing }, () => '0'), ...after]
  return groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')
}
