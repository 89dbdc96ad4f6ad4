import { BELIEVED } from './cases/believed.ts'
import { REFUSED_ALONE } from './cases/refused-alone.ts'
import { REFUSED_CHAINS } from './cases/refused-chains.ts'
import { REFUSED_NAMES } from './cases/refused-names.ts'
import { REVOKED } from './cases/revoked.ts'
import type { CertificateCase } from './cases/shown.ts'

/** How certificates end, and by which rule: docs/certificates.md is held to it. */
export const CASES: readonly CertificateCase[] = [...BELIEVED, ...REFUSED_ALONE, ...REFUSED_CHAINS, ...REFUSED_NAMES, ...REVOKED]
