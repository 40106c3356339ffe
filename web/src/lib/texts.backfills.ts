// What the pages about backfills say.

import { count } from './format'
import { plural } from './texts'
import words from './words.json'

export const backfills = {
  title: words.backfills,
  lead: 'What an older version told of an archive’s documents is told anew: measured first, compared, made live in one move.',
  leadOf: (project: string) => `Archives that were enriched by ${project}.`,
  noArchives: 'This workspace has no archives. “mesh new archive” makes one of documents that are there.',
  none: (project: string | null) =>
    project === null
      ? 'Nothing was enriched yet. “mesh backfill run ARCHIVE PROJECT” begins.'
      : `No archive was enriched by ${project} yet. “mesh backfill run ARCHIVE ${project}” begins.`,
  archives: 'Archives',
  name: (id: number, archive: string) => `Backfill ${id} of ${archive}`,
  states: {
    running: 'running',
    stopped: 'stopped',
    paused: 'paused',
    failed: 'failed',
    cancelled: 'given up',
    done: 'done, not live',
    live: 'live',
    superseded: 'not live any more',
  } as Record<string, string>,
  documents: (n: number) => plural(n, 'document'),
  begun: (when: string) => `begun ${when}`,
  progress: 'How far it is',
  doneOf: (done: number, all: number) => `${count(done)} of ${plural(all, 'document')}`,
  rate: (n: string) => `${n} documents per second`,
  outcome: 'What became of the documents',
  nothingYet: 'No part of it is done yet.',
  outcomes: { enriched: 'answered', kept: 'kept', skipped: 'left out', rejected: 'rejected' },
  repeated: (n: number) => `${count(n)} of them with the same input as another`,
  rejects: (n: number) => `Rejected: ${count(n)}`,
  rejectColumns: ['Key', 'File and row', 'Reason', 'Why'],
  plan: 'Plan',
  documentsAre: 'documents',
  which: 'which rows',
  only: {
    stale: 'those that this model has not answered',
    all: 'all',
    rejected: 'those that were rejected',
  } as Record<string, string>,
  where: 'of these',
  chunks: 'in chunks of',
  reads: (columns: string) => `reads ${columns}`,
  generation: 'generation',
  next: 'What can be done next',
  moves: { cutover: 'Make it live', rollback: 'Go back' },
  movesIntro: {
    cutover: (archive: string) => `Readers of ${archive} see all of it in one move, if the projects’ gates allow it.`,
    rollback: (archive: string) => `Readers of ${archive} see what was live before, in one move. It can be made live again.`,
  },
  button: { cutover: 'Make it live', rollback: 'Roll back' },
  moved: {
    cutover: (archive: string) => `Readers of ${archive} see it now.`,
    rollback: (archive: string) => `Readers of ${archive} see what was live before.`,
  },
  key: 'Admin key (kept by this page only)',
  noKey:
    'No admin key is set, so this is done on the command line. A key in the environment variable MESH_ADMIN_KEY of the server allows it here.',
  changes: 'What changes',
  changesOf: (project: string) => `What changes in ${project}`,
  comparing: 'Comparing…',
  versions: (before: number | null, after: number) =>
    before === null ? `Version ${after} tells it first.` : `Version ${before} → version ${after}.`,
  compared: (all: number, changed: number) => `Of ${plural(all, 'document')}, ${count(changed)} changed.`,
  inputs: (n: number) => `${count(n)} were asked something else.`,
  flips: 'labels that flip',
  change: 'mean change',
  quantiles: (p50: string, p90: string, most: string) => `half ${p50}, 90 in 100 ${p90}, most ${most}`,
  gained: 'new answers',
  lost: (n: number) => `${count(n)} lost`,
  truth: (n: number) => `right, of ${count(n)} with a true label`,
  was: (value: string) => `it was ${value}`,
  verdicts: { better: 'better', worse: 'worse', 'no-difference': 'no difference' } as Record<string, string>,
  gate: (gate: string, measured: string, limit: string, passes: boolean) =>
    `gate ${gate}: ${measured}, at most ${limit}${passes ? '' : ': refuses'}`,
  matrix: 'Flips',
  matrixIntro: 'Label before by row, label after by column.',
  by: (dimension: string) => `By ${dimension}`,
  sliceColumns: ['', 'documents', 'flips', 'mean change', ''],
  examples: 'What changed most',
  size: (value: string) => `change ${value}`,
  whole: 'both answers',
  before: 'before',
  after: 'after',
}
