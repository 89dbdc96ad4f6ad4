import { constructedTag, type DerElement, DerError, DerReader, implicitTag, readAscii } from './der.ts'

/** A name of a certificate's subject (RFC 5280, 4.2.1.6); `value` is shown in errors and compared as it stands. */
export interface GeneralName {
  readonly form: 'uri' | 'dns' | 'ip' | 'other'
  /** A text for `uri` and `dns`, the address' bytes in hex for `ip`, the tag for `other`. */
  readonly value: string
}

/** What a CA may and may not name (RFC 5280, 4.2.1.10): an `ip` is address and mask in hex. */
export interface NameConstraints {
  /** Undefined when nothing is said of what is permitted, which permits all. */
  readonly permitted: readonly GeneralName[] | undefined
  readonly excluded: readonly GeneralName[]
}

/** The most names that are read of one certificate: a workload has one, a gateway some dozens. */
const MAX_NAMES = 100

/** The bytes of an address, and of one with its mask. */
const NAME_IP: readonly number[] = [4, 16]
const SUBTREE_IP: readonly number[] = [8, 32]

/** Reads a GeneralNames. @throws DerError */
export function readGeneralNames(element: DerElement): GeneralName[] {
  const reader = new DerReader(element.content)
  const names: GeneralName[] = []
  while (!reader.done) {
    if (names.length === MAX_NAMES) throw new DerError(`more than ${MAX_NAMES} names, and a workload needs one`)
    names.push(readGeneralName(reader.next(), NAME_IP))
  }
  return names
}

/** Reads a NameConstraints. @throws DerError */
export function readNameConstraints(element: DerElement): NameConstraints {
  const reader = new DerReader(element.content)
  const permitted = reader.optional(constructedTag(0))
  const excluded = reader.optional(constructedTag(1))
  reader.end()
  if (permitted === undefined && excluded === undefined) throw new DerError('name constraints that say nothing')
  return {
    permitted: permitted === undefined ? undefined : readSubtrees(permitted),
    excluded: excluded === undefined ? [] : readSubtrees(excluded),
  }
}

function readSubtrees(element: DerElement): GeneralName[] {
  const reader = new DerReader(element.content)
  const subtrees: GeneralName[] = []
  while (!reader.done) {
    if (subtrees.length === MAX_NAMES) throw new DerError(`more than ${MAX_NAMES} name constraints`)
    const subtree = reader.inside()
    subtrees.push(readGeneralName(subtree.next(), SUBTREE_IP))
    // minimum and maximum: RFC 5280 allows neither.
    subtree.end()
  }
  if (subtrees.length === 0) throw new DerError('name constraints that say nothing')
  return subtrees
}

function readGeneralName(element: DerElement, ipLengths: readonly number[]): GeneralName {
  switch (element.tag) {
    case implicitTag(6):
      return { form: 'uri', value: readAscii(element) }
    case implicitTag(2):
      return { form: 'dns', value: readDnsName(readAscii(element), ipLengths === SUBTREE_IP) }
    case implicitTag(7):
      if (!ipLengths.includes(element.content.length)) throw new DerError(`an IP address of ${element.content.length} bytes`)
      return { form: 'ip', value: element.content.toString('hex') }
    default:
      return { form: 'other', value: `[${element.tag & 0x1f}]` }
  }
}

/** Labels with a dot between them; a name may begin with `*.`, and a constraint may be empty. */
function readDnsName(name: string, isConstraint: boolean): string {
  const labels = !isConstraint && name.startsWith('*.') ? name.slice(2) : name
  const good =
    (isConstraint && name === '') ||
    labels.split('.').every((label) => /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label))
  if (!good || name.length > 253) throw new DerError('a DNS name that no host can have')
  return name
}
