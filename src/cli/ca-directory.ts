import { createPublicKey, type KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Certificate, readCertificate } from '../tls/certificate.ts'
import { issuerProblem, validityProblem } from '../tls/certificate-rules.ts'
import { readCredentialFile, readKeyFile } from '../tls/file/credential-file.ts'
import { type Issuer, issueIntermediate, issueRoot, makeKey } from '../tls/issue.ts'
import { readCertificates, readPrivateKey, toPem } from '../tls/pem.ts'
import { MODE, makeOwnDirectory, writeOwnFile } from './own-file.ts'

/** What is in the directory of a CA. */
const FILES = {
  rootCertificate: 'root.crt',
  rootKey: 'root.key',
  issuerCertificate: 'issuer.crt',
  issuerKey: 'issuer.key',
  /** The trust anchors that every process gets; the root alone until another is added. */
  bundle: 'ca.crt',
} as const

/** How long certificates of a CA are valid, in milliseconds from `now`. */
export interface CaLives {
  readonly now: number
  readonly rootMs: number
  readonly issuerMs: number
}

/** A CA's own certificates, as they were made. */
export interface CaCertificates {
  readonly root: Certificate
  readonly issuer: Certificate
}

/**
 * A CA in a directory of its own: a root, which signs issuers alone and can be kept elsewhere, and an issuer, which signs leaves and can be
 * replaced without anybody's trust changing.
 */
export class CaDirectory {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** A file's path. */
  at(file: keyof typeof FILES): string {
    return join(this.path, FILES[file])
  }

  /** Makes root, issuer and bundle. @throws Error when there is one already, unless it shall be replaced */
  async make(trustDomain: string, lives: CaLives, replace: boolean): Promise<CaCertificates> {
    makeOwnDirectory(this.path)
    const there = (Object.keys(FILES) as (keyof typeof FILES)[]).find((file) => existsSync(this.at(file)))
    if (there !== undefined && !replace) {
      throw new Error(`${this.at(there)} is there already: give another --dir, or --force to replace that CA for good`)
    }
    const rootKey = makeKey()
    const name = `inmesh root of ${trustDomain}`
    const root = await issueRoot(rootKey, { name, trustDomain, now: lives.now, lifeMs: lives.rootMs })
    this.#write('rootKey', pemOf(rootKey), replace)
    this.#write('rootCertificate', root, replace)
    const issuer = await this.#makeIssuer({ certificate: root, key: rootKey }, trustDomain, lives, replace)
    this.#write('bundle', root, replace)
    return { root: certificateOf(root), issuer }
  }

  /** Makes another issuer under the root that is there. @throws Error when that can't be read, or is no CA */
  async renewIssuer(lives: Omit<CaLives, 'rootMs'>): Promise<CaCertificates> {
    const issuer = await this.#signer('rootCertificate', 'rootKey', lives.now)
    const root = certificateOf(issuer.certificate)
    const trustDomain = trustDomainOf(root)
    if (trustDomain === undefined)
      throw new Error(`${this.at('rootCertificate')} is not bound to a trust domain: it is not of inmesh ca init`)
    return { root, issuer: await this.#makeIssuer(issuer, trustDomain, lives, true) }
  }

  /** Who signs leaves. @throws Error that says what to do */
  issuer(now: number): Promise<Issuer> {
    if (!existsSync(this.at('issuerCertificate'))) {
      throw new Error(`there is no CA in ${this.path}: give its --dir, or make one with: inmesh ca init --dir ${this.path}`)
    }
    return this.#signer('issuerCertificate', 'issuerKey', now)
  }

  /** The trust anchors, in PEM. */
  bundle(): Promise<string> {
    return readCredentialFile(this.at('bundle'))
  }

  async #makeIssuer(
    root: Issuer,
    trustDomain: string,
    { now, issuerMs }: Omit<CaLives, 'rootMs'>,
    replace: boolean,
  ): Promise<Certificate> {
    const key = makeKey()
    // Issuers that follow one another differ in name: a chain that is put together wrongly is seen at once.
    const name = `inmesh issuer of ${trustDomain} ${new Date(now).toISOString().slice(0, 10)}`
    const request = { name, trustDomain, now, lifeMs: issuerMs, publicKey: createPublicKey(key) }
    const certificate = await issueIntermediate(root, request)
    this.#write('issuerKey', pemOf(key), replace)
    this.#write('issuerCertificate', certificate, replace)
    return certificateOf(certificate)
  }

  async #signer(certificateFile: keyof typeof FILES, keyFile: keyof typeof FILES, now: number): Promise<Issuer> {
    const path = this.at(certificateFile)
    const key = readPrivateKey(await readKeyFile(this.at(keyFile)), this.at(keyFile))
    const certificate = readCertificate(readCertificates(await readCredentialFile(path), path)[0] as Buffer)
    const problem = issuerProblem(certificate, 'server') ?? validityProblem(certificate, now, 0)
    if (problem !== undefined) throw new Error(`${path}: ${problem.text}`)
    if (!certificate.x509.checkPrivateKey(key)) throw new Error(`${this.at(keyFile)} does not fit ${path}`)
    return { certificate: toPem('CERTIFICATE', certificate.raw), key }
  }

  #write(file: keyof typeof FILES, text: string, replace: boolean): void {
    writeOwnFile(this.at(file), text, file.endsWith('Key') ? MODE.secret : MODE.open, replace)
  }
}

/** The trust domain that a CA of ours is bound to by its name constraints. */
export function trustDomainOf({ extensions }: Certificate): string | undefined {
  return extensions.nameConstraints?.permitted?.find(({ form }) => form === 'uri')?.value
}

/** PKCS#8 in PEM. */
export const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string

const certificateOf = (pem: string): Certificate => readCertificate(readCertificates(pem, 'certificate')[0] as Buffer)
