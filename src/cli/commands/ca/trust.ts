import { existsSync } from 'node:fs'
import { printable } from '../../../core/printable.ts'
import type { Certificate } from '../../../tls/certificate.ts'
import { type CertificateView, callName, viewOf } from '../../certificate-view.ts'
import { type Answer, type Command, type Invocation, UsageError } from '../../command.ts'
import { shownDate } from '../../duration.ts'
import { addLocalRoot, localAnchors, localTrustPlace, removeLocalRoot } from '../../local-trust.ts'
import { suggestion } from '../../suggestion.ts'
import { addToBundle, readBundle, writeBundle } from '../../trust-bundle.ts'

const ACTIONS = ['add', 'list', 'remove']

export const command: Command = {
  summary: 'list, add and remove trust anchors: the roots that are believed',
  takes: '[list | add [file] | remove <serial | SHA-256 | file>]',
  count: [0, 2],
  about: [
    "With --bundle it works on a file of trust anchors, such as the ca.crt of the source `files`; without, on this machine's own CA\nin the runtime directory, where `add` takes no file: it makes the next root.",
    'To change a root without dropping a connection: add the new one to every bundle (both are trusted now), issue from it once\nevery process has read that bundle, and remove the old one once every leaf of the old root has run out.',
  ],
  options: {
    bundle: { value: '<file>', help: 'a file of trust anchors; made if it is missing' },
    'trust-domain': { value: '<name>', help: "of the machine's own CA (default inmesh.local)" },
  },
  async run(invocation) {
    const [action = 'list', subject] = invocation.args
    if (!ACTIONS.includes(action)) {
      throw new UsageError(
        `unknown action ${JSON.stringify(action)}${suggestion(action, ACTIONS)}; there are ${ACTIONS.join(', ')}`,
      )
    }
    if (action === 'list' && subject !== undefined) throw new UsageError('list takes no argument, give the file as --bundle')
    if (action === 'remove' && subject === undefined)
      throw new UsageError('remove which? give its serial number, see inmesh ca trust list')
    const place = placeOf(invocation)
    const changed = await act(place, action, subject, invocation)
    return answerOf(place, await place.read(), action, changed, invocation.runtime.clock.wall())
  },
}

/** Where trust anchors are kept. */
interface TrustPlace {
  readonly name: string
  read(): Promise<readonly Certificate[]>
  add(file: string | undefined): Promise<readonly Certificate[]>
  remove(anchor: Certificate, rest: readonly Certificate[]): Promise<void>
}

function placeOf(invocation: Invocation): TrustPlace {
  const bundle = invocation.text('bundle')
  const domain = invocation.text('trust-domain')
  if (bundle !== undefined && domain !== undefined) throw new UsageError('--trust-domain does not go with --bundle')
  return bundle === undefined ? localPlace(domain ?? 'inmesh.local', invocation) : bundlePlace(bundle, invocation)
}

function bundlePlace(path: string, { runtime }: Invocation): TrustPlace {
  return {
    name: path,
    read: () => readBundle(path),
    async add(file) {
      if (file === undefined) throw new UsageError('add which? give the file of the new root')
      return addToBundle(path, await readBundle(file), runtime.clock.wall())
    },
    async remove(_, rest) {
      writeBundle(path, rest)
    },
  }
}

function localPlace(domain: string, { runtime }: Invocation): TrustPlace {
  if (!/^[a-z0-9_-][a-z0-9._-]*$/.test(domain))
    throw new UsageError(`--trust-domain: expected a trust domain, got ${JSON.stringify(domain)}`)
  const read = async () => (await localAnchors(domain)).map(({ certificate }) => certificate)
  return {
    name: localTrustPlace(domain),
    read,
    async add(file) {
      if (file !== undefined) {
        throw new UsageError(
          "this machine's own CA trusts roots whose keys it has, and makes them itself: leave out the file, or give --bundle",
        )
      }
      const before = await read()
      await addLocalRoot(domain, runtime)
      return (await read()).filter(({ raw }) => !before.some((one) => one.raw.equals(raw)))
    },
    async remove(anchor) {
      const found = (await localAnchors(domain)).find(({ certificate }) => certificate.raw.equals(anchor.raw))
      if (found !== undefined) removeLocalRoot(found)
    },
  }
}

/** @returns what was added or removed */
async function act(
  place: TrustPlace,
  action: string,
  subject: string | undefined,
  { runtime }: Invocation,
): Promise<readonly Certificate[]> {
  if (action === 'list') return []
  if (action === 'add') return place.add(subject)
  const anchors = await place.read()
  const removed = await named(subject as string, anchors, runtime.clock.wall())
  const rest = anchors.filter(({ raw }) => !removed.raw.equals(raw))
  if (rest.length === 0)
    throw new Error(`${place.name}: that is its only trust anchor, and nobody would be believed: add another first`)
  await place.remove(removed, rest)
  return [removed]
}

/** The anchor that somebody means: by its serial number, by its fingerprint's beginning, or by a file that holds it. */
async function named(subject: string, anchors: readonly Certificate[], now: number): Promise<Certificate> {
  const wanted = subject.toLowerCase().replaceAll(':', '')
  const isMeant = ({ serial, fingerprint }: CertificateView) =>
    wanted.length >= 6 && (serial === wanted || fingerprint.startsWith(wanted))
  let meant = anchors.filter((anchor) => isMeant(viewOf(anchor, now)))
  if (meant.length === 0 && existsSync(subject)) {
    const inFile = await readBundle(subject)
    meant = anchors.filter(({ raw }) => inFile.some((one) => one.raw.equals(raw)))
  }
  if (meant.length === 1) return meant[0] as Certificate
  throw new Error(
    `${meant.length === 0 ? 'no' : meant.length} trust anchors are meant by ${JSON.stringify(subject)}: see inmesh ca trust list`,
  )
}

function answerOf(
  place: TrustPlace,
  anchors: readonly Certificate[],
  action: string,
  changed: readonly Certificate[],
  now: number,
): Answer {
  const views = anchors.map((anchor) => viewOf(anchor, now))
  const done = changed.map((anchor) => viewOf(anchor, now))
  return {
    json: { place: place.name, anchors: views, added: action === 'add' ? done : [], removed: action === 'remove' ? done : [] },
    lines: (paint) => [
      ...done.map(
        (view) => `${paint('green', '√')} ${action === 'add' ? 'added' : 'removed'} ${callName(view)}, serial ${view.serial}`,
      ),
      ...(action === 'add' && done.length === 0 ? ['nothing to add: it is trusted already'] : []),
      `${place.name}: ${views.length === 0 ? 'no trust anchor yet' : `${views.length} trusted`}`,
      ...views.flatMap((view) => anchorLines(view, now)),
      ...(views.length > 1 ? ['', OVERLAP] : []),
    ],
  }
}

const OVERLAP =
  'All of them are trusted. Issue from the newest once every process has it; remove an old one once its last leaf has run out.'

function anchorLines(view: CertificateView, now: number): string[] {
  const bound = view.boundTo === null ? 'not bound to a trust domain' : `for ${view.boundTo}`
  return [
    `  ${callName(view)}  ${printable(bound)}, until ${shownDate(Date.parse(view.notAfter), now)}`,
    `    serial ${view.serial}`,
    ...view.problems.map(({ text }) => `    × ${printable(text)}`),
  ]
}
