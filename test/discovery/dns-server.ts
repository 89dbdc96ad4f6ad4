import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/** A record as a test writes it; `ttl` in seconds, 30 by default. */
export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly data: string; readonly ttl?: number }
  | {
      readonly type: 'SRV'
      readonly priority: number
      readonly weight: number
      readonly port: number
      readonly target: string
      readonly ttl?: number
    }

/** What the server knows of a name, by type; a name it does not know is NXDOMAIN. */
export type DnsAnswer = readonly DnsRecord[] | 'SERVFAIL' | 'silence'

export interface DnsServer {
  /** `ip:port`, for the option `servers`. */
  readonly address: string
  /** By name, or by `TYPE name` for one type alone. Change it at any time. */
  readonly table: Map<string, DnsAnswer>
  /** `TYPE name` of every question, in order. */
  readonly questions: string[]
  close(): Promise<void>
}

const TYPES: Readonly<Record<number, string>> = { 1: 'A', 28: 'AAAA', 33: 'SRV' }
const NOERROR = 0
const SERVFAIL = 2
const NXDOMAIN = 3

/** A real DNS server over UDP on a free port of 127.0.0.1 (RFC 1035, RFC 2782). */
export async function dnsServer(): Promise<DnsServer> {
  const socket = createSocket('udp4')
  const table = new Map<string, DnsAnswer>()
  const questions: string[] = []
  socket.on('message', (query, peer) => {
    const { name, type, end } = readQuestion(query)
    questions.push(`${type} ${name}`)
    const known = table.get(`${type} ${name}`) ?? table.get(name)
    if (known === 'silence') return
    const head = query.subarray(0, end)
    if (known === undefined) return socket.send(reply(head, NXDOMAIN, []), peer.port, peer.address)
    if (known === 'SERVFAIL') return socket.send(reply(head, SERVFAIL, []), peer.port, peer.address)
    const records = known.filter((record) => record.type === type)
    return socket.send(reply(head, NOERROR, records), peer.port, peer.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    table,
    questions,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

function readQuestion(query: Buffer): { name: string; type: string; end: number } {
  const labels: string[] = []
  let at = 12
  while (query.readUInt8(at) !== 0) {
    const length = query.readUInt8(at)
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.').toLowerCase(), type: TYPES[query.readUInt16BE(at + 1)] ?? 'other', end: at + 5 }
}

function reply(question: Buffer, code: number, records: readonly DnsRecord[]): Buffer {
  const head = Buffer.from(question)
  head.writeUInt16BE(0x8180 | code, 2)
  head.writeUInt16BE(records.length, 6)
  head.writeUInt32BE(0, 8)
  return Buffer.concat([head, ...records.map(encode)])
}

function encode(record: DnsRecord): Buffer {
  const data = encodeData(record)
  const head = Buffer.alloc(12)
  // A pointer to the question's name.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(Number(Object.keys(TYPES).find((type) => TYPES[Number(type)] === record.type)), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(record.ttl ?? 30, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function encodeData(record: DnsRecord): Buffer {
  if (record.type !== 'SRV') {
    return record.type === 'A' ? Buffer.from(record.data.split('.').map(Number)) : encodeIPv6(record.data)
  }
  const numbers = Buffer.alloc(6)
  numbers.writeUInt16BE(record.priority, 0)
  numbers.writeUInt16BE(record.weight, 2)
  numbers.writeUInt16BE(record.port, 4)
  const labels = record.target.split('.').filter((label) => label !== '')
  const name = labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([numbers, ...name, Buffer.from([0])])
}

function encodeIPv6(text: string): Buffer {
  const [left, right] = text.split('::').map((half) => half.split(':').filter((group) => group !== ''))
  const zeros = Array(8 - (left?.length ?? 0) - (right?.length ?? 0)).fill('0')
  const groups = right === undefined ? left : [...(left ?? []), ...zeros, ...right]
  return Buffer.concat((groups ?? []).map((group) => Buffer.from(group.padStart(4, '0'), 'hex')))
}
