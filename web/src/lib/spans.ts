// Where things are in a text. Services count characters as Unicode does; JavaScript counts UTF-16
// units: the two part ways at the first emoji.

export interface Entity {
  entity_type: string
  entity_text: string
  score: number
  sentence_index: number
  start: number
  end: number
}

export interface Span<T> {
  from: number
  to: number
  value: T
}

/** A piece of a text: plain, or under a span. */
export interface Piece<T> {
  text: string
  value: T | null
}

/**
 * Finds entities in the text that they were found in. The service counts from the start of their
 * sentence, and where sentences start is its own matter: a start is taken where all entities of
 * the sentence stand at their places.
 */
export function locate(text: string, entities: Entity[]): Span<Entity>[] {
  const characters = Array.from(text)
  const offsets = [0]
  for (const character of characters) offsets.push(offsets.at(-1)! + character.length)
  const sentences = new Map<number, Entity[]>()
  for (const entity of entities) {
    const known = sentences.get(entity.sentence_index)
    if (known) known.push(entity)
    else sentences.set(entity.sentence_index, [entity])
  }
  const stands = (entity: Entity, base: number) => {
    const from = offsets[base + entity.start]
    const to = offsets[base + entity.end]
    return from !== undefined && to !== undefined && text.slice(from, to) === entity.entity_text
  }
  const spans: Span<Entity>[] = []
  let least = 0
  for (const [, group] of [...sentences].sort(([a], [b]) => a - b)) {
    const first = group[0]
    if (!first) continue
    for (let base = least; base + first.start < characters.length; base += 1) {
      const begins = base === 0 || /\s/.test(characters[base - 1] ?? '') || first.start === 0
      if (!begins || /\s/.test(characters[base] ?? '')) continue
      if (!group.every((entity) => stands(entity, base))) continue
      for (const entity of group) {
        const from = offsets[base + entity.start]!
        const to = offsets[base + entity.end]!
        spans.push({ from, to, value: entity })
        least = Math.max(least, base + entity.end)
      }
      break
    }
  }
  return spans
}

/** Cuts a text at its spans. Of two that overlap the first, and of these the longer, is taken. */
export function pieces<T>(text: string, spans: Span<T>[]): Piece<T>[] {
  const sorted = [...spans].sort((a, b) => a.from - b.from || b.to - a.to)
  const cut: Piece<T>[] = []
  let at = 0
  for (const { from, to, value } of sorted) {
    if (from < at || to <= from) continue
    if (from > at) cut.push({ text: text.slice(at, from), value: null })
    cut.push({ text: text.slice(from, to), value })
    at = to
  }
  if (at < text.length) cut.push({ text: text.slice(at), value: null })
  return cut
}

/** All places of a phrase as whole words, whatever their case and the space between them. */
export function occurrences(text: string, phrase: string): { from: number; to: number }[] {
  const words = phrase.split(/\s+/).filter((word) => word !== '')
  if (words.length === 0) return []
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const pattern = new RegExp(
    `(?<![\\p{L}\\p{N}])${escaped.join('[^\\p{L}\\p{N}]+')}(?![\\p{L}\\p{N}])`,
    'giu',
  )
  const found: { from: number; to: number }[] = []
  for (const match of text.matchAll(pattern)) {
    found.push({ from: match.index, to: match.index + match[0].length })
  }
  return found
}

/** The sentences of a text, by the rules of Unicode. */
export function sentences(text: string): { text: string; from: number }[] {
  const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' })
  return [...segmenter.segment(text)]
    .map(({ segment, index }) => ({ text: segment, from: index }))
    .filter(({ text }) => text.trim() !== '')
}
