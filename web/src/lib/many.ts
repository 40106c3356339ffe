// Rows of a file, asked in pieces.

import { path, Problem, type Fields, type Json, type Project } from './api'
import { CsvReader, line } from './csv'
import { texts } from './texts'

export interface Progress {
  done: number
  failed: number
  bytes: number
  milliseconds: number
}

export interface RowError {
  row: number
  detail: string
}

export interface Batch {
  /** Pieces of the CSV with the answers. */
  parts: string[]
  errors: RowError[]
  first: { cells: string[]; columns: string[] } | null
  preview: string[][]
  header: string[]
}

type Line = { prediction?: Fields; version?: number; problem?: { detail: string; title: string } }

const ROWS = 400
const BYTES = 2 << 20
const ERRORS = 200
const PREVIEW = 8
const TRIES = 60

/** The cells of a prediction: the best label by itself, everything else as it is told. */
export function flatten(prediction: Fields): Record<string, string> {
  const cells: Record<string, string> = {}
  for (const [key, value] of Object.entries(prediction)) {
    if ((key === 'labels' || key === 'languages') && Array.isArray(value)) {
      const best = value[0] as Record<string, Json> | undefined
      const name = key === 'labels' ? 'label' : 'language'
      cells[name] = String(best?.[name] ?? '')
      cells.score = String(best?.score ?? '')
    } else if (key === 'predictions' && Array.isArray(value)) {
      cells.prediction = String(value[0] ?? '')
    } else if (value === null) {
      cells[key] = ''
    } else {
      cells[key] = typeof value === 'object' ? JSON.stringify(value) : String(value)
    }
  }
  return cells
}

/** The header of a CSV. */
export async function header(file: Blob): Promise<string[]> {
  const reader = new CsvReader()
  const text = await file.slice(0, 1 << 20).text()
  return reader.push(text)[0] ?? reader.finish()[0] ?? []
}

/** Answers every row of a file. */
export async function answerAll(
  project: Project,
  file: Blob,
  toAttributes: (row: Record<string, string>) => Fields,
  report: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Batch> {
  const batch: Batch = { parts: [], errors: [], first: null, preview: [], header: [] }
  const progress: Progress = { done: 0, failed: 0, bytes: 0, milliseconds: 0 }
  const started = performance.now()
  const decoder = new TextDecoder()
  const csv = new CsvReader()
  let columns: string[] | null = null
  let added: string[] = []
  let waiting: string[][] = []
  let size = 0

  async function flush(read: number) {
    if (waiting.length === 0 || columns === null) return
    const names = columns
    const rows = waiting
    waiting = []
    size = 0
    const asked = rows.map((cells) => {
      if (cells.length !== names.length) return null
      return toAttributes(Object.fromEntries(names.map((name, at) => [name, cells[at] ?? ''])))
    })
    const lines = asked
      .filter((attributes) => attributes !== null)
      .map((attributes) => JSON.stringify({ attributes }))
    const answers = lines.length > 0 ? await ask(project, lines, signal) : []
    let next = 0
    let out = ''
    rows.forEach((cells, at) => {
      let told: Line
      if (asked[at] === null) told = { problem: { title: '', detail: texts.many.short(cells.length, names.length) } }
      else told = answers[next++] ?? { problem: { title: '', detail: texts.unreachable } }
      const flat = told.prediction ? flatten(told.prediction) : {}
      if (batch.header.length === 0 && told.prediction) {
        added = Object.keys(flat)
        batch.header = [...names, ...added, 'model_version', 'error']
      }
      const error = told.problem ? told.problem.detail || told.problem.title : ''
      if (error !== '') {
        progress.failed += 1
        // The header is the first line of a file.
        if (batch.errors.length < ERRORS) batch.errors.push({ row: progress.done + 2, detail: error })
      }
      const padded = names.map((_, place) => cells[place] ?? '')
      const values = added.map((name) => flat[name] ?? '')
      const full = [...padded, ...values, String(told.version ?? ''), error]
      if (batch.preview.length < PREVIEW && error === '') batch.preview.push(full)
      out += line(full)
      progress.done += 1
    })
    batch.parts.push(out)
    progress.bytes = read
    progress.milliseconds = performance.now() - started
    report({ ...progress })
  }

  async function take(rows: string[][], read: number) {
    for (const row of rows) {
      if (columns === null) {
        columns = row
        continue
      }
      waiting.push(row)
      size += row.reduce((sum, cell) => sum + cell.length, 0)
      if (waiting.length >= ROWS || size >= BYTES) await flush(read)
      if (signal.aborted) return
    }
  }

  let read = 0
  try {
    const reader = file.stream().getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done || signal.aborted) break
      read += value.byteLength
      await take(csv.push(decoder.decode(value, { stream: true })), read)
    }
    if (!signal.aborted) {
      await take(csv.push(decoder.decode()), read)
      await take(csv.finish(), read)
      await flush(read)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  if (batch.header.length === 0) batch.header = [...(columns ?? []), 'model_version', 'error']
  return batch
}

/** Asks some lines; a service that is away or busy is asked again. */
async function ask(project: Project, lines: string[], signal: AbortSignal): Promise<Line[]> {
  for (let tried = 0; ; tried += 1) {
    try {
      const response = await fetch(`${path.project(project.project)}/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: lines.join('\n'),
        signal,
      })
      if (!response.ok) throw await Problem.of(response)
      const text = await response.text()
      const told = text.trimEnd().split('\n').map((line) => JSON.parse(line) as Line)
      if (told.length === lines.length) return told
      throw new Problem(0, 'unreachable', '', texts.unreachable)
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0, 'unreachable', '', texts.unreachable)
      const again = problem.status === 0 || problem.status === 503 || problem.status === 429
      if (signal.aborted) throw error
      if (!again || tried >= TRIES) {
        return lines.map(() => ({ problem: { title: problem.title, detail: problem.message } }))
      }
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}
