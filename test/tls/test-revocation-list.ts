import { sign } from 'node:crypto'
import { toPem } from '../../src/tls/pem.ts'
import { bitString, integer, sequence, tagged, time } from './der-writer.ts'
import { algorithmFor, authorityKeyId, extension, HOUR, keyIdOf, type Made, NOW } from './test-certificates.ts'

/** Everything that a revocation list says. What is not given is right. */
export interface ListRecipe {
  readonly issuer: Made
  /** Whose key signs, if not the issuer's. */
  readonly signer?: Made
  readonly revoked?: readonly Made[]
  readonly thisUpdate?: Buffer
  /** `null` for a list that never ends. */
  readonly nextUpdate?: Buffer | null
  readonly extensions?: readonly Buffer[]
  readonly entryExtensions?: readonly Buffer[]
  readonly algorithm?: Buffer
}

/** Makes a revocation list of a recipe, as DER. */
export function makeList(recipe: ListRecipe): Buffer {
  const { issuer, signer = issuer, revoked = [], thisUpdate = time(NOW - HOUR), nextUpdate = time(NOW + HOUR) } = recipe
  const { algorithm, hash } = algorithmFor(signer.key)
  const used = recipe.algorithm ?? algorithm
  const extensions = recipe.extensions ?? [listNumber(), authorityKeyId(keyIdOf(issuer.key))]
  const entry = recipe.entryExtensions === undefined ? [] : [sequence(...recipe.entryExtensions)]
  const entries = revoked.map(({ serial }) => sequence(integer(serial), time(NOW - HOUR), ...entry))
  const signed = sequence(
    integer(Buffer.from([1])),
    used,
    issuer.subject,
    thisUpdate,
    ...(nextUpdate === null ? [] : [nextUpdate]),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    ...(extensions.length === 0 ? [] : [tagged(0, sequence(...extensions))]),
  )
  return sequence(signed, used, bitString(sign(hash, signed, signer.key)))
}

export const listNumber = (critical = false): Buffer => extension('2.5.29.20', integer(Buffer.from([7])), critical)

export const listPem = (der: Buffer): string => toPem('X509 CRL', der)
