// A page that was taken away: what the API told is in the file, and nobody is asked.

import type { Examples, Fields, Json, Series, TextExample } from './api'

export interface Recorded {
  project: string
  version: number
  made_at: number
  /** By address, what the API told. */
  told: Record<string, Json>
  examples: Examples<TextExample | Series>
  answers: { attributes: Fields; prediction: Fields; seconds: number }[]
}

type Answered = Recorded['answers'][number]

let record: Recorded | null = null
let answers = new Map<string, Answered>()

export function take(recorded: Recorded) {
  record = recorded
  answers = new Map(recorded.answers.map((answer) => [canonical(answer.attributes), answer]))
}

export function isRecorded(): boolean {
  return record !== null
}

/** What the API told at an address. */
export function recall(url: string): Json | undefined {
  const [path = '', query = ''] = url.split('?')
  const found = record?.told[path]
  if (!path.endsWith('/texts')) return found
  const cell = new URLSearchParams(query)
  const rows = found as Record<string, Record<string, Json>> | undefined
  return rows?.[cell.get('truth') ?? '']?.[cell.get('given') ?? '']
}

export function recallAnswer(attributes: Fields): Answered | undefined {
  return answers.get(canonical(attributes))
}

/** JSON whose keys stand in one order. */
function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const parts = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key] ?? null)}`)
  return `{${parts.join(',')}}`
}
