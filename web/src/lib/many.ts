// Rows of a file, asked in pieces.

import { path, Problem, type Fields, type Json, type Project } from './api'
import { CsvReader, encoding, line } from './csv'
import { texts } from './texts'
import { model } from './texts.model'

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
  const start = await file.slice(0, 1 << 20).arrayBuffer()
  const text = new TextDecoder(await encoding(file)).decode(start)
  return reader.push(text)[0] ?? reader.finish()[0] ?? []
}

/** Answers every row of a file. */
export async function answerAll(
  project: Project,
  file: Blob,
  toAttributes: (cells: string[], names: string[]) => Fields,
  report: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Batch> {
  const batch: Batch = { parts: [], errors: [], preview: [], header: [] }
  const progress: Progress = { done: 0, failed: 0, bytes: 0, milliseconds: 0 }
  const started = performance.now()
  const decoder = new TextDecoder(await encoding(file))
  const csv = new CsvReader()
  let columns: string[] | null = null
  let added: string[] = []
  let waiting: string[][] = []
  let size = 0
  /** Rows before the first answer, of which nobody knows yet what columns they get. */
  let refused: { cells: string[]; error: string }[] = []

  async function flush(read: number, unclosed = false) {
    if (waiting.length === 0 || columns === null) return
    const names = columns
    const rows = waiting
    waiting = []
    size = 0
    const cut = unclosed ? rows.length - 1 : -1
    const asked = rows.map((cells, at) =>
      at === cut || cells.length !== names.length ? null : toAttributes(cells, names),
    )
    const lines = asked
      .filter((attributes) => attributes !== null)
      .map((attributes) => JSON.stringify({ attributes }))
    const answers = lines.length > 0 ? await ask(project, lines, signal) : []
    let next = 0
    let out = ''
    rows.forEach((cells, at) => {
      let told: Line
      if (at === cut) told = { problem: { title: '', detail: model.many.unclosed } }
      else if (asked[at] === null) told = { problem: { title: '', detail: model.many.short(cells.length, names.length) } }
      else told = answers[next++] ?? { problem: { title: '', detail: texts.unreachable } }
      const flat = told.prediction ? flatten(told.prediction) : {}
      if (batch.header.length === 0 && told.prediction) {
        added = Object.keys(flat)
        batch.header = [...names, ...answerColumns(names, [...added, 'model_version', 'error'])]
        for (const row of refused) out += line(full(names, row.cells, {}, '', row.error))
        refused = []
      }
      const error = told.problem ? told.problem.detail || told.problem.title : ''
      if (error !== '') {
        progress.failed += 1
        // The header is the first line of a file.
        if (batch.errors.length < ERRORS) batch.errors.push({ row: progress.done + 2, detail: error })
      }
      if (batch.header.length === 0) refused.push({ cells, error })
      else {
        const row = full(names, cells, flat, String(told.version ?? ''), error)
        if (batch.preview.length < PREVIEW && error === '') batch.preview.push(row)
        out += line(row)
      }
      progress.done += 1
    })
    if (out !== '') batch.parts.push(out)
    progress.bytes = read
    progress.milliseconds = performance.now() - started
    report({ ...progress })
  }

  const full = (names: string[], cells: string[], flat: Record<string, string>, version: string, error: string) => [
    ...names.map((_, place) => cells[place] ?? ''),
    ...added.map((name) => flat[name] ?? ''),
    version,
    error,
  ]

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
      const unclosed = csv.unclosed
      await take(csv.finish(), read)
      await flush(read, unclosed)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  if (batch.header.length === 0) {
    const names: string[] = columns ?? []
    batch.header = [...names, ...answerColumns(names, ['model_version', 'error'])]
    const rows = refused.map((row) => line(full(names, row.cells, {}, '', row.error)))
    if (rows.length > 0) batch.parts.push(rows.join(''))
  }
  return batch
}

/** Names for columns that are added: those that the file has already are told apart from them. */
function answerColumns(names: string[], added: string[]): string[] {
  return added.map((name) => {
    let free = name
    while (names.includes(free)) free = `answer_${free}`
    return free
  })
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
