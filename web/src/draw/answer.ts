// Answers as most tasks draw them: bars, and marks in the text.

import { language, percent } from '../lib/numbers'
import type { Fields } from '../lib/service'
import { locate, occurrences, sentences, type Entity, type Span } from '../lib/spans'
import { first } from '../lib/texts.first'
import { drawBars } from './bars'
import { element, written } from './element'
import { marked } from './marked'

export type Kind = 'labels' | 'sentiment' | 'entities' | 'keywords'

/** How an answer is drawn follows from what it tells; nothing if it is drawn elsewhere. */
export function drawnAs(prediction: Fields): Kind | null {
  if (prediction.labels || prediction.languages) return 'labels'
  if ('negative_prob' in prediction && 'positive_prob' in prediction) return 'sentiment'
  if (Array.isArray(prediction.entities)) return 'entities'
  return prediction.keywords ? 'keywords' : null
}

export interface Told {
  prediction: Fields
  attributes: Fields
  version: number | null
  /** What the bars are called. */
  label: string
}

/** Asks what is told of a text that is a part of another. */
export type Ask = (content: string, signal: AbortSignal) => Promise<Fields>

type Polarity = 'positive' | 'neutral' | 'negative'
type Scored = { label?: string; language?: string; score: number }
type Keyword = { keyword_token: string; keyword_score: number }

/** Labels that are shown, and entities: nobody reads more, and a browser takes its time to lay them out. */
const LABELS = 12
const ENTITIES = 200
const SENTENCES = 24
/** Characters of a text in which keywords and sentences are looked for. */
const LOOKED_AT = 20_000

/** Draws one answer after another at a place. */
export class Drawing {
  #kind: Kind | null = null
  #bars = element('div')
  #rest = element('div')
  #abort = new AbortController()
  // Each sentence is asked alone; what was asked of a version once is known.
  #known = new Map<string, Polarity>()
  #version: number | null = null

  /** Without somebody to ask, sentences are not told apart. */
  constructor(
    into: HTMLElement,
    readonly ask: Ask | null,
  ) {
    into.replaceChildren(this.#bars, this.#rest)
  }

  draw(kind: Kind, told: Told) {
    this.stop()
    if (kind !== this.#kind) {
      this.#kind = kind
      this.#bars.replaceChildren()
      this.#rest.replaceChildren()
    }
    if (kind === 'labels') this.#labels(told)
    else if (kind === 'sentiment') this.#sentiment(told)
    else if (kind === 'entities') this.#entities(told)
    else this.#keywords(told)
  }

  /** Asks no more of the answer that is drawn. */
  stop() {
    this.#abort.abort()
    this.#abort = new AbortController()
  }

  #labels({ prediction, label }: Told) {
    const scored = (prediction.labels ?? prediction.languages ?? []) as unknown as Scored[]
    const bars = scored.slice(0, LABELS).map(({ label, language: code, score }) => ({
      name: label ?? language(code ?? ''),
      note: code,
      value: score,
    }))
    drawBars(this.#bars, { bars, label })
  }

  #entities({ prediction, attributes }: Told) {
    const entities = (prediction.entities ?? []) as unknown as Entity[]
    const text = content(attributes)
    const drawn = marked(text, locate(text, entities), ({ score, entity_type }) => ({
      title: percent(score),
      kind: entity_type,
    }))
    if (entities.length === 0) drawn.push(element('p', 'muted small', first.noEntities))
    else {
      const rows = entities.slice(0, ENTITIES).map(({ entity_text, entity_type, score }) =>
        element(
          'tr',
          '',
          written('td', '', entity_text),
          element('td', 'muted', entity_type),
          element('td', 'number muted', percent(score)),
        ),
      )
      drawn.push(element('table', '', element('tbody', '', ...rows)))
      if (entities.length > ENTITIES) {
        drawn.push(element('p', 'muted small', first.moreEntities(ENTITIES, entities.length)))
      }
    }
    this.#rest.replaceChildren(...drawn)
  }

  #keywords({ prediction, attributes }: Told) {
    const keywords = (prediction.keywords ?? []) as unknown as Keyword[]
    if (keywords.length === 0) {
      this.#bars.replaceChildren()
      this.#rest.replaceChildren(element('p', 'muted', first.noKeywords))
      return
    }
    const bars = keywords.map(({ keyword_token, keyword_score }, at) => ({
      name: keyword_token,
      note: `${at + 1}`,
      value: keyword_score,
    }))
    drawBars(this.#bars, { bars, label: first.keywords, show: (value) => value.toFixed(3) })
    const text = content(attributes)
    const start = text.slice(0, LOOKED_AT)
    const spans = keywords.flatMap(({ keyword_token }, at) =>
      occurrences(start, keyword_token).map((place) => ({ ...place, value: at + 1 })),
    )
    this.#rest.replaceChildren(element('div', 'keywords', ...marked(text, spans, (rank) => ({ rank }))))
  }

  #sentiment({ prediction, attributes, version }: Told) {
    const negative = Number(prediction.negative_prob)
    const positive = Number(prediction.positive_prob)
    const bars = [
      { name: first.positive, value: positive },
      { name: first.neutral, value: Math.max(0, 1 - positive - negative) },
      { name: first.negative, value: negative },
    ].sort((a, b) => b.value - a.value)
    drawBars(this.#bars, { bars, label: first.overall })
    if (version !== this.#version) this.#known.clear()
    this.#version = version
    const text = content(attributes)
    const parts = sentences(text.slice(0, LOOKED_AT))
    const { ask } = this
    if (parts.length < 2 || !ask) this.#rest.replaceChildren()
    else void this.#bySentence(text, parts, ask)
  }

  async #bySentence(whole: string, parts: { text: string; from: number }[], ask: Ask) {
    const { signal } = this.#abort
    const spans = await Promise.all(
      parts.slice(0, SENTENCES).map(async ({ text, from }) => {
        const value = await this.#polarity(text.trim(), ask, signal)
        const lead = text.length - text.trimStart().length
        return { from: from + lead, to: from + text.trimEnd().length, value }
      }),
    )
    if (signal.aborted) return
    const told = spans.filter((span): span is Span<Polarity> => span.value !== null)
    const drawn = told.length === 0 ? [] : [
      element('h3', '', first.bySentence),
      ...marked(whole, told, (polarity) => ({ classes: polarity, kind: first[polarity] })),
    ]
    if (told.length > 0 && parts.length > SENTENCES) {
      drawn.push(element('p', 'muted small', first.moreSentences(SENTENCES)))
    }
    this.#rest.replaceChildren(...drawn)
  }

  async #polarity(sentence: string, ask: Ask, signal: AbortSignal): Promise<Polarity | null> {
    const before = this.#known.get(sentence)
    if (before) return before
    try {
      const { label } = await ask(sentence, signal)
      this.#known.set(sentence, label as Polarity)
      return label as Polarity
    } catch {
      return null
    }
  }
}

function content(attributes: Fields): string {
  return String(attributes.content ?? '')
}
