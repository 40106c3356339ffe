// What two answers to one input tell, thing by thing, and where they part.

import type { Fields, Json } from './api'

export interface Row {
  name: string
  note: string
  /** What the first tells of it, and the second; nothing where one does not know it. */
  one: number | string | null
  two: number | string | null
  differs: boolean
}

type Told = Map<string, { name: string; note: string; value: number | string }>

/** What is smaller is no difference: the same answer in another precision. */
const SAME = 5e-5

function objects(value: Json | undefined): { [key: string]: Json }[] {
  if (!Array.isArray(value)) return []
  return value.filter((part) => typeof part === 'object' && part !== null && !Array.isArray(part)) as {
    [key: string]: Json
  }[]
}

/** A prediction as things with values, by what it tells. */
function told(prediction: Fields): Told {
  const all: Told = new Map()
  const add = (key: string, name: string, note: string, value: number | string) => {
    all.set(all.has(key) ? `${key} ${all.size}` : key, { name, note, value })
  }
  for (const [field, value] of Object.entries(prediction)) {
    if (field === 'labels' || field === 'languages') {
      for (const { label, language, score } of objects(value)) {
        const name = String(label ?? language)
        add(name, name, '', Number(score))
      }
    } else if (field === 'entities') {
      for (const entity of objects(value)) {
        const { entity_text, entity_type, score, sentence_index, start, sentiment } = entity
        const note = String(entity_type ?? '')
        const key = [entity_text, entity_type, sentence_index, start].join(' ')
        add(key, String(entity_text), note, sentiment ? String(sentiment) : Number(score ?? 0))
      }
    } else if (field === 'keywords') {
      for (const { keyword_token, keyword_score } of objects(value)) {
        add(String(keyword_token), String(keyword_token), '', Number(keyword_score))
      }
    } else if (Array.isArray(value) && value.every((part) => typeof part === 'number')) {
      // A long vector is told as a whole, by its cosine.
      if (value.length <= 32) value.forEach((part, at) => add(`${field} ${at}`, value.length > 1 ? `${at + 1}` : field, '', part))
    } else if (Array.isArray(value) && value.every((part) => typeof part === 'string')) {
      for (const part of value) add(String(part), String(part), '', '')
    } else if (typeof value === 'number' || typeof value === 'string') {
      add(field, field, '', value)
    } else if (value !== null) {
      add(field, field, '', JSON.stringify(value))
    }
  }
  return all
}

/** How alike two vectors are; nothing if the answers are none. */
export function cosine(one: Fields, two: Fields): number | null {
  const [a, b] = [one.embeddings, two.embeddings]
  if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return null
  let [product, first, second] = [0, 0, 0]
  a.forEach((value, at) => {
    const [x, y] = [Number(value), Number(b[at])]
    product += x * y
    first += x * x
    second += y * y
  })
  return product / (Math.sqrt(first * second) || 1)
}

export function differences(one: Fields, two: Fields): Row[] {
  const [first, second] = [told(one), told(two)]
  const keys = new Set([...first.keys(), ...second.keys()])
  return [...keys].map((key) => {
    const [a, b] = [first.get(key), second.get(key)]
    const [x, y] = [a?.value ?? null, b?.value ?? null]
    const near = typeof x === 'number' && typeof y === 'number' && Math.abs(x - y) <= SAME * Math.max(1, Math.abs(x))
    const { name = '', note = '' } = a ?? b ?? {}
    return { name, note, one: x, two: y, differs: !near && x !== y }
  })
}

/** The label that an answer gives, if it gives one. */
export function label(prediction: Fields): string | null {
  if (typeof prediction.label === 'string') return prediction.label
  const [best] = objects(prediction.labels ?? prediction.languages)
  return best ? String(best.label ?? best.language) : null
}
