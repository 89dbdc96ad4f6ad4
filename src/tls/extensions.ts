import { DerReader, implicitTag, namedBits, onlyElement, readBoolean, readOid, readSmallInteger, TAG } from './der.ts'
import { type GeneralName, type NameConstraints, readGeneralNames, readNameConstraints } from './general-name.ts'

/** The bits of keyUsage (RFC 5280, 4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 1, keyCertSign: 1 << 5, crlSign: 1 << 6 } as const

/** The object identifiers of extended key usage that matter here. */
export const EXTENDED_KEY_USAGE = {
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
  any: '2.5.29.37.0',
} as const

/** The extensions of a certificate, as far as they are known here; undefined when it has not this one. */
export interface Extensions {
  readonly subjectAltNames?: readonly GeneralName[]
  readonly basicConstraints?: { readonly ca: boolean; readonly pathLength: number | undefined }
  /** Bits as in KEY_USAGE. */
  readonly keyUsage?: number
  readonly extendedKeyUsage?: readonly string[]
  readonly nameConstraints?: NameConstraints
  readonly authorityKeyId?: Buffer
  readonly subjectKeyId?: Buffer
  /** The object identifiers of those marked critical. */
  readonly critical: readonly string[]
  /** Critical and not known here: whoever wrote them forbids to go on. */
  readonly unknownCritical: readonly string[]
  /** The object identifiers of those that are there more than once. */
  readonly repeated: readonly string[]
}

/** The object identifiers of the extensions that are read here. */
export const EXTENSION = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
} as const

/** More than any issuer writes; what a stranger sends is read to here. */
const MAX_EXTENSIONS = 64
const MAX_USAGES = 64

/** policyConstraints and inhibitAnyPolicy: critical by definition (RFC 5280, 4.2.1.11 and 4.2.1.14), so they count as that when the mark is missing. */
const ALWAYS_CRITICAL: ReadonlySet<string> = new Set(['2.5.29.36', '2.5.29.54'])

export const noExtensions: Extensions = { critical: [], unknownCritical: [], repeated: [] }

type Read = { -readonly [K in keyof Extensions]: Extensions[K] } & {
  critical: string[]
  unknownCritical: string[]
  repeated: string[]
}

/** Reads an Extensions (RFC 5280, 4.2). @throws DerError */
export function readExtensions(reader: DerReader): Extensions {
  const read: Read = { critical: [], unknownCritical: [], repeated: [] }
  const seen = new Set<string>()
  while (!reader.done && seen.size < MAX_EXTENSIONS) {
    const { oid, critical, value } = readExtension(reader)
    if (critical) read.critical.push(oid)
    if (seen.has(oid)) {
      read.repeated.push(oid)
      return read
    }
    seen.add(oid)
    const known = READERS[oid]
    if (known !== undefined) known(read, value)
    else if (critical || ALWAYS_CRITICAL.has(oid)) read.unknownCritical.push(oid)
  }
  reader.end()
  return read
}

/** One extension. */
export interface Extension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Buffer
}

/** Reads an Extension. @throws DerError */
export function readExtension(reader: DerReader): Extension {
  const extension = reader.inside()
  const oid = readOid(extension.next(TAG.oid))
  const mark = extension.optional(TAG.boolean)
  const critical = mark !== undefined && readBoolean(mark)
  const { content } = extension.next(TAG.octetString)
  extension.end()
  return { oid, critical, value: content }
}

const READERS: Readonly<Record<string, (read: Read, value: Buffer) => void>> = {
  [EXTENSION.subjectAltName](read, value) {
    read.subjectAltNames = readGeneralNames(onlyElement(value))
  },
  [EXTENSION.basicConstraints](read, value) {
    const reader = new DerReader(onlyElement(value).content)
    const ca = reader.optional(TAG.boolean)
    const pathLength = reader.optional(TAG.integer)
    reader.end()
    read.basicConstraints = {
      ca: ca !== undefined && readBoolean(ca),
      pathLength: pathLength === undefined ? undefined : readSmallInteger(pathLength),
    }
  },
  [EXTENSION.keyUsage](read, value) {
    read.keyUsage = namedBits(onlyElement(value, TAG.bitString))
  },
  [EXTENSION.extendedKeyUsage](read, value) {
    const reader = new DerReader(onlyElement(value).content)
    const usages: string[] = []
    while (!reader.done && usages.length < MAX_USAGES) usages.push(readOid(reader.next(TAG.oid)))
    reader.end()
    read.extendedKeyUsage = usages
  },
  [EXTENSION.nameConstraints](read, value) {
    read.nameConstraints = readNameConstraints(onlyElement(value))
  },
  [EXTENSION.authorityKeyId](read, value) {
    const keyId = new DerReader(onlyElement(value).content).optional(implicitTag(0))
    if (keyId !== undefined) read.authorityKeyId = keyId.content
  },
  // Where to ask about the issuer: nobody here asks, but what can't be read is not passed over.
  [EXTENSION.authorityInfoAccess](_, value) {
    onlyElement(value)
  },
  [EXTENSION.subjectKeyId](read, value) {
    read.subjectKeyId = onlyElement(value, TAG.octetString).content
  },
}
