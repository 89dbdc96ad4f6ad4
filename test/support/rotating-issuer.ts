import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Issuer, issueLeaf, issueRoot, makeKey } from '../../src/tls/issue.ts'

const TRUST_DOMAIN = 'cluster.local'
const ROOT_LIFE_MS = 24 * 3_600_000

/** The files of one workload, as Kubernetes mounts them: links into a directory that is replaced as a whole. */
export interface Volume {
  readonly id: string
  readonly directory: string
  /** The leaf that is in it now, in PEM, and its serial as Node writes it. */
  leaf: string
  serial: string
}

/**
 * Issues the identities of a few workloads into volumes of theirs, and changes all of it at will, roots included, in the order in which it is
 * done without losing anybody: trust the new root, issue from it, trust the old one no more.
 */
export class RotatingIssuer {
  /** Of the leaves that are issued from now on, in milliseconds. */
  lifeMs: number
  readonly #directory = mkdtempSync(join(tmpdir(), 'inmesh-rotation-'))
  readonly #volumes: Volume[] = []
  /** Those that are trusted, the oldest first. */
  #roots: Issuer[] = []
  #issuer!: Issuer
  #edition = 0

  /** @param lifeMs of a leaf, in milliseconds */
  static async make(lifeMs: number): Promise<RotatingIssuer> {
    const issuer = new RotatingIssuer(lifeMs)
    await issuer.#trustNewRoot()
    issuer.#issuer = issuer.#roots[0] as Issuer
    return issuer
  }

  private constructor(lifeMs: number) {
    this.lifeMs = lifeMs
  }

  /** A volume for the workload with this account, with an identity in it. */
  async mount(account: string): Promise<Volume> {
    const volume = await this.mountOnce(account, this.lifeMs)
    this.#volumes.push(volume)
    return volume
  }

  /** The same, and it is never renewed. */
  async mountOnce(account: string, lifeMs = ROOT_LIFE_MS): Promise<Volume> {
    const directory = join(this.#directory, account)
    mkdirSync(directory)
    const volume = { id: `spiffe://${TRUST_DOMAIN}/ns/default/sa/${account}`, directory, leaf: '', serial: '' }
    await this.#write(volume, lifeMs)
    for (const file of FILES) symlinkSync(join('..data', file), join(directory, file))
    return volume
  }

  /** New leaves for all. */
  async renew(): Promise<void> {
    for (const volume of this.#volumes) await this.#write(volume)
  }

  /** A new root is trusted besides. */
  async addRoot(): Promise<void> {
    await this.#trustNewRoot()
    await this.renew()
  }

  /** Leaves are issued from the newest root. */
  async changeIssuer(): Promise<void> {
    this.#issuer = this.#roots.at(-1) as Issuer
    await this.renew()
  }

  /** Only the newest root is trusted. */
  async removeOldRoots(): Promise<void> {
    this.#roots = this.#roots.slice(-1)
    await this.renew()
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #trustNewRoot(): Promise<void> {
    const key = makeKey()
    const name = `root ${++this.#edition}`
    const certificate = await issueRoot(key, { name, trustDomain: TRUST_DOMAIN, now: Date.now(), lifeMs: ROOT_LIFE_MS })
    this.#roots.push({ certificate, key })
  }

  async #write(volume: Volume, lifeMs = this.lifeMs): Promise<void> {
    const key = makeKey()
    const publicKey = createPublicKey(key)
    const leaf = await issueLeaf(this.#issuer, { id: volume.id, publicKey, now: Date.now(), lifeMs })
    volume.leaf = leaf
    volume.serial = new X509Certificate(leaf).serialNumber
    swap(volume.directory, `..${++this.#edition}`, {
      'tls.crt': leaf,
      'tls.key': pemOf(key),
      'ca.crt': this.#roots.map(({ certificate }) => certificate).join(''),
    })
  }
}

const FILES = ['tls.crt', 'tls.key', 'ca.crt'] as const

/**
 * As the kubelet does it: whoever reads finds all of the old or all of the new, but may read one file before and the next one after, or find it
 * gone.
 */
function swap(directory: string, edition: string, texts: Readonly<Record<(typeof FILES)[number], string>>): void {
  mkdirSync(join(directory, edition))
  for (const file of FILES) writeFileSync(join(directory, edition, file), texts[file], { mode: 0o400 })
  const link = join(directory, '..data')
  const before = existsSync(link) ? readlinkSync(link) : undefined
  symlinkSync(edition, `${link}_tmp`)
  renameSync(`${link}_tmp`, link)
  if (before !== undefined) rmSync(join(directory, before), { recursive: true })
}

const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string
