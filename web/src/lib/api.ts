// The JSON API below /api/v1, and the services' own routes. docs/show.md describes them.

import { isRecorded, recall, recallAnswer } from './record'
import { Problem, question, send, service, type Answer, type Fields, type Json } from './service'
import { takeTold } from './told'

export { body, Problem, type Answer, type Fields, type Json } from './service'

export interface Headline {
  name: string
  value: number
  low: number | null
  high: number | null
  baseline: number | null
}

export interface Step {
  step: string
  unit: string
  state: 'fresh' | 'stale' | 'absent' | 'failed'
  why?: string[]
  error?: string
  output?: string
}

export interface VersionRow {
  version: number
  aliases: string[]
  targets: string[]
  created_at: number
  headline: Headline | null
}

export interface Project {
  project: string
  task: string
  api: number
  description: string
  owner: string | null
  has_model: boolean
  served: boolean
  ready: boolean
  production: number | null
  headline: Headline | null
  steps: Step[]
  versions: VersionRow[]
  max_body_bytes: number
  labelled: boolean
  show: { panels: string[]; examples: string[]; words: Record<string, string> }
  own_panels: string[]
}

export interface Mesh {
  workspace: string
  projects: Project[]
  broken: { project: string | null; error: string }[]
  parts: { gateway: boolean; releases: boolean }
}

export interface Schema {
  type?: string | string[]
  description?: string
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  anyOf?: Schema[]
  enum?: Json[]
  default?: Json
  format?: string
  minimum?: number
  maximum?: number
}

export interface Contract {
  attributes: Schema
  parameters: Schema
  sample: Record<string, Json>
}

export interface TextExample {
  text: string
  label: string | null
}

export interface SeriesRow {
  row: Record<string, Json>
  day: string | null
  target: number
  baseline: number | null
}

export interface Series {
  group: string | null
  rows: SeriesRow[]
}

export interface Examples<T> {
  from: string | null
  split: string | null
  examples: T[]
}

export async function get<T>(url: string, signal?: AbortSignal): Promise<T> {
  if (isRecorded()) {
    const told = recall(url)
    if (told === undefined) throw new Problem(404, 'not-found', '', '')
    return told as T
  }
  return (takeTold(url) ?? (await send(url, { signal })).json()) as Promise<T>
}

/** Asks for a change, with a key. */
export async function post<T>(url: string, key: string): Promise<T> {
  const headers = { authorization: `Bearer ${key}` }
  return (await send(url, { method: 'POST', headers })).json() as Promise<T>
}

export async function getText(url: string): Promise<string> {
  return (await send(url)).text()
}

export const path = {
  project: (name: string) => `/api/v1/projects/${encodeURIComponent(name)}`,
  version: (name: string, version: number) =>
    `/api/v1/projects/${encodeURIComponent(name)}/versions/${version}`,
  service,
}

export async function contract(project: Project): Promise<Contract> {
  return get<Contract>(`${path.project(project.project)}/contract`)
}

/** What a version, or one of its targets, answers. */
export interface Compared {
  version: number
  target: string | null
  seconds: number
  prediction: Fields
}

/** Asks a side of a comparison: `2`, or `2:portable-f16`. */
export async function ask(
  project: string,
  side: string,
  attributes: Fields,
  parameters: Fields,
  signal: AbortSignal,
): Promise<Compared> {
  const [version = '', target] = side.split(':')
  const query = target ? `?${new URLSearchParams({ target })}` : ''
  const url = `${path.project(project)}/versions/${encodeURIComponent(version)}/predict${query}`
  return inquire<Compared>(url, attributes, parameters, signal)
}

interface Common {
  name: string
  title: string
  note: string
}
/** What a project in Rust shows beside an answer. */
export type Panel = Common &
  (
    | { kind: 'spans'; text: string; spans: { start: number; end: number; label: string }[] }
    | { kind: 'bars'; bars: { name: string; value: number }[] }
    | { kind: 'table'; columns: string[]; rows: string[][] }
    | { kind: 'line'; points: string[]; lines: { name: string; values: (number | null)[] }[]; place: number | null }
    | { kind: 'matrix'; rows: string[]; columns: string[]; values: number[][] }
    | { kind: 'graph'; nodes: string[]; edges: { from: string; to: string }[] }
    | { kind: 'text'; text: string }
  )

export async function panels(
  project: string,
  attributes: Fields,
  parameters: Fields,
  signal: AbortSignal,
): Promise<Panel[]> {
  const told = await inquire<{ panels: Panel[] }>(`${path.project(project)}/panels`, attributes, parameters, signal)
  return told.panels
}

async function inquire<T>(url: string, attributes: Fields, parameters: Fields, signal: AbortSignal): Promise<T> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ attributes, parameters })
  return (await send(url, { method: 'POST', headers, body, signal })).json() as Promise<T>
}

export async function predict(
  project: Project,
  attributes: Fields,
  parameters: Fields = {},
  signal?: AbortSignal,
): Promise<Answer> {
  if (isRecorded()) {
    const told = recallAnswer(attributes)
    if (!told) throw new Problem(0, 'unreachable', '', '')
    return { prediction: told.prediction, raw: '', milliseconds: told.seconds * 1000, version: null, tokens: null, longText: null }
  }
  return question(project, attributes, parameters, signal)
}
