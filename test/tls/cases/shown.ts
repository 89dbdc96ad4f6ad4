import type { KeyObject } from 'node:crypto'
import type { PeerQuestion, VerifierOptions } from '../../../src/tls/verify.ts'
import { name, time } from '../der-writer.ts'
import {
  dns,
  ecKey,
  HOUR,
  type Made,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  NOW,
  names,
  type Recipe,
  uri,
} from '../test-certificates.ts'

/** The ID of every leaf that is right. */
export const ID = 'spiffe://mesh.test/ns/default/sa/web'
export const DOMAIN = 'mesh.test'

/** What a peer shows, and what it is asked. */
export interface Shown {
  readonly chain: readonly Buffer[]
  readonly anchors: Readonly<Record<string, readonly Made[]>>
  readonly options?: VerifierOptions
  readonly question?: Partial<PeerQuestion>
}

/** One certificate, or chain, and how it ends. */
export interface CertificateCase {
  readonly name: string
  /** The rule that refuses it; `believed` when none does. */
  readonly ends: string
  readonly make: () => Shown
}

interface Family {
  readonly root: Made
  readonly intermediate: Made
}

let shared: Family | undefined

/** A root and an intermediate that are right, made once. */
export function family(): Family {
  if (shared === undefined) {
    const root = makeRoot()
    shared = { root, intermediate: makeIntermediate(root) }
  }
  return shared
}

export const shown = (chain: readonly Made[], more: Omit<Partial<Shown>, 'chain'> = {}): Shown => ({
  anchors: { [DOMAIN]: [family().root] },
  ...more,
  chain: chain.map(({ der }) => der),
})

/** A leaf behind the family's intermediate. */
export const leafWith = (changes: Partial<Recipe>, more: Omit<Partial<Shown>, 'chain'> = {}): Shown => {
  const { intermediate } = family()
  return shown([makeLeaf(intermediate, ID, changes), intermediate], more)
}

/** A right leaf behind an intermediate. */
export const intermediateWith = (changes: Partial<Recipe>, more: Omit<Partial<Shown>, 'chain'> = {}): Shown => {
  const intermediate = makeIntermediate(family().root, changes)
  return shown([makeLeaf(intermediate, ID), intermediate], more)
}

/** A right leaf straight under a root. */
export const rootWith = (changes: Partial<Recipe>): Shown => {
  const root = makeRoot(changes)
  return shown([makeLeaf(root, ID)], { anchors: { [DOMAIN]: [root] } })
}

/** Leaf names under an intermediate's constraints. */
export const constrained = (constraints: Buffer, ...leafNames: readonly Buffer[]): Shown => {
  const intermediate = makeIntermediate(family().root, { extensions: { constraints } })
  return shown([makeLeaf(intermediate, ID, { extensions: { names: names(uri(ID), ...leafNames) } }), intermediate])
}

export const leafExtensions = (extensions: Recipe['extensions']): Shown => leafWith({ extensions })
export const leafNames = (...list: readonly Buffer[]): Shown => leafExtensions({ names: names(...list) })
export const leafKey = (key: KeyObject): Shown => leafWith({ key })

/** Intermediates below each other, then a leaf. */
export function deep(count: number, changes: (index: number) => Partial<Recipe> = () => ({})): Made[] {
  const chain = [family().root]
  for (let index = 0; index < count; index++) chain.unshift(makeIntermediate(chain[0] as Made, changes(index)))
  return [makeLeaf(chain[0] as Made, ID), ...chain.slice(0, -1)]
}

/** CAs of one name that have signed each other, so that there are many ways and none ends. */
export function tangle(): Made[] {
  const subject = name('tangle')
  const first = makeRoot({ subject })
  const rest = Array.from({ length: 6 }, () => makeIntermediate(first, { subject, key: first.key }))
  return [makeLeaf(first, ID), ...rest]
}

const pick = <T>(list: readonly T[], index: number): T => list[index] as T

export const NONE = { basic: null, usage: null, extended: null, names: null, ski: null, aki: null }

export function crossSigned(): Shown {
  const [key, subject] = [ecKey(), name('crossed')]
  const ours = makeIntermediate(family().root, { key, subject })
  const theirs = makeIntermediate(makeRoot(), { key, subject })
  return shown([makeLeaf(ours, ID), theirs, ours])
}

export function expiredBesideSuccessor(): Shown {
  const [key, subject] = [ecKey(), name('renewed')]
  const old = makeIntermediate(family().root, { key, subject, notAfter: time(NOW - HOUR / 2) })
  const renewed = makeIntermediate(family().root, { key, subject })
  return shown([makeLeaf(renewed, ID), old, renewed])
}

export function leafAsIssuer(): Shown {
  const workload = makeLeaf(family().intermediate, 'spiffe://mesh.test/ns/default/sa/attacker')
  return shown([makeLeaf(workload, ID), workload, family().intermediate])
}

export function linkerd(options: VerifierOptions, ...more: readonly Buffer[]): Shown {
  const linkerdName = dns('web.default.serviceaccount.identity.linkerd.mesh.test')
  return leafWith({ extensions: { names: names(linkerdName, ...more) } }, { options })
}

export const changedAt = (at: number) => (der: Buffer) => {
  const changed = Buffer.from(der)
  const index = changed.length + at
  changed[index] = pick([...changed], index) ^ 1
  return changed
}

export function renamed(der: Buffer): Buffer {
  const changed = Buffer.from(der)
  changed.write('adm', changed.indexOf('/sa/web') + '/sa/'.length, 'latin1')
  return changed
}
