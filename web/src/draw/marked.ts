import { pieces, type Span } from '../lib/spans'
import { first } from '../lib/texts.first'
import { element, written } from './element'

/** How a piece of a text is marked. */
export interface Mark {
  classes?: string
  title?: string
  /** What is written small behind it. */
  kind?: string
  rank?: number
}

/** A browser draws so many characters with their marks while one types. */
const DRAWN = 20_000

/** A text with its spans marked. */
export function marked<T>(text: string, spans: Span<T>[], mark: (value: T) => Mark): HTMLElement[] {
  const cut = pieces(
    text.slice(0, DRAWN),
    spans.filter((span) => span.to <= DRAWN),
  )
  const parts = cut.map(({ text, value }) => (value === null ? text : drawMark(text, mark(value))))
  const drawn: HTMLElement[] = [written('p', 'marked', ...parts)]
  if (text.length > DRAWN) drawn.push(element('p', 'muted small', first.cut(DRAWN, text.length)))
  return drawn
}

function drawMark(text: string, { classes, title, kind, rank }: Mark): HTMLElement {
  const made = element('mark', classes, element('bdi', '', text))
  if (title) made.title = title
  if (kind !== undefined) made.append(element('span', 'kind', kind))
  if (rank !== undefined) made.append(element('sup', '', String(rank)))
  return made
}
