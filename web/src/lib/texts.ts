// Every word that the page says, in one place. Those in `words.json` the server says too, before any
// script runs; those that a form needs while one types stand in `texts.first.ts`, and those of pages
// that not everybody opens in `texts.model.ts` and `texts.backfills.ts`.

import { count } from './format'
import { first, plural } from './texts.first'
import words from './words.json'

export { plural } from './texts.first'

export const texts = {
  name: words.name,
  skip: words.skip,
  loading: words.loading,
  away: first.away,
  unreachable: first.unreachable,
  nothing: words.nothing,
  noProject: (name: string) => `This workspace has no project “${name}”.`,
  noPage: 'No page has this address.',
  home: 'To the mesh',
  theme: words.theme,
  tasks: words.tasks as Record<string, string>,
  metrics: {
    ...words.metrics,
    r2_gain: 'R² above the baseline',
    mae: 'mean absolute error',
    rmse: 'root mean squared error',
    mape: 'mean absolute percentage error',
    smape: 'symmetric mean percentage error',
    precision: 'precision',
    recall: 'recall',
    expected_calibration_error: 'calibration error',
    log_loss: 'log loss',
  } as Record<string, string>,
  steps: { fresh: 'fresh', stale: 'stale', absent: 'never ran', failed: 'failed' },
  mesh: {
    title: words.mesh,
    summary: (projects: number, ready: number) =>
      words.summary
        .replace('{projects}', plural(projects, words.project, words.projects))
        .replace('{ready}', ready === projects ? words.all : count(ready)),
    rate: (rps: string) => words.rate.replace('{rps}', rps),
    none: 'This workspace has no projects yet. “mesh new project” makes one.',
    picture: 'Traffic',
    pictureAlt: 'Requests to each service and the version that answers',
    noGateway:
      'Requests reach the services directly: gateway, services and this page are one process here.',
    requests: 'requests',
    perSecond: 'per second',
    version: (n: number) => `version ${n}`,
    notReady: words.notReady,
    notServed: words.notServed,
    noModel: words.noModel,
    noVersion: words.noVersion,
    noMetric: words.noMetric,
    broken: 'Manifests that cannot be used',
    columns: words.columns,
    interval: (low: string, high: string) => `95% interval ${low} to ${high}`,
    baseline: (value: string) => `baseline ${value}`,
  },
  tabs: words.tabs,
  project: {
    docs: words.docs,
    versions: 'Version',
    production: 'production',
    candidate: 'candidate',
    steps: 'Steps',
    owner: (who: string) => `${words.owner}${who}`,
  },
  try: {
    text: words.try.text,
    second: 'Another text',
    row: 'What is known',
    settings: words.try.settings,
    examples: words.try.examples,
    from: (split: string | null, from: string | null) =>
      split === null
        ? ''
        : (from ? words.try.fromOther : words.try.from).replace('{split}', split).replace('{from}', from ?? ''),
    answer: words.try.answer,
    waiting: first.waiting,
    took: first.took,
    raw: words.try.raw,
    curl: words.try.curl,
    python: words.try.python,
    copy: words.try.copy,
    copied: 'Copied',
    link: words.try.link,
    tooLong: 'This text is too long for an address: the link does not hold it.',
    long: (shown: number, all: number) =>
      `The first ${count(shown)} of ${count(all)} characters are shown, and all of them are asked.`,
    empty: 'Empty it',
    notServed: 'This project is not served by this process, so nothing answers here.',
    notReady: (name: string) => `No model of ${name} is loaded. “mesh run ${name}” makes one.`,
    invalidJson: 'This is not JSON',
    truth: (label: string) => `labelled ${label}`,
    none: 'none',
  },
  answers: {
    nearest: 'Nearest of the examples',
    dimensions: (n: number, norm: string) => `${n} dimensions, length ${norm}`,
    vector: 'The vector, value by value',
    alike: 'Near-duplicates',
    unalike: 'No near-duplicates',
    shared: (n: number, all: number) => `${n} of ${all} strings of their signatures are the same.`,
    tooShort: 'A text of fewer words than a shingle has no signature.',
    sharedWords: 'What both texts have, in runs of at least five words, is marked.',
    signature: 'Signature',
    second: 'Put in another text to compare the two.',
    predicted: 'predicted',
    actual: 'what happened',
    baseline: 'baseline',
    series: 'Series',
    seriesAlt: 'The series: what happened, the baseline, and what the model tells',
    choose: 'The row that is asked',
    here: 'this row',
  },
}
