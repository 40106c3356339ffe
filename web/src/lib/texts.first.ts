// The words of a form, its answer and what may go wrong with it: those that whoever types needs.

import { count } from './numbers'

export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`

export const first = {
  away: 'The mesh does not answer. Trying again by itself.',
  unreachable: 'The mesh did not answer. Is it still running?',
  tooLarge: 'This is longer than the project takes',
  atMost: (bytes: number) => `It takes requests of at most ${count(bytes)} bytes.`,
  failed: (status: number) => `The answer was an error of status ${status}.`,
  waiting: 'Type, or choose an example.',
  took: (ms: string) => `answered in ${ms}`,
  by: (version: number, target: string | null) => `by version ${version}${target ? `, ${target}` : ''}`,
  tokens: (n: number) => plural(n, 'token'),
  windows: (n: string) => `read in ${n} windows`,
  truncated: (n: string) => `only its first ${n} tokens were read`,
  cut: (shown: number, all: number) =>
    `The first ${count(shown)} of ${count(all)} characters are drawn.`,
  moreEntities: (shown: number, all: number) => `The first ${count(shown)} of ${count(all)} entities.`,
  noEntities: 'No entities in this text.',
  keywords: 'keywords',
  noKeywords: 'No keywords in this text.',
  overall: 'Whole text',
  bySentence: 'Sentence by sentence',
  moreSentences: (n: number) => `The first ${n} sentences are told apart.`,
  positive: 'positive',
  negative: 'negative',
  neutral: 'neutral',
}
