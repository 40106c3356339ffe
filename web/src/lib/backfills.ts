// Backfills as the API tells of them.

import type { Json } from './api'
import type { Estimate } from './card'

export interface Counts {
  rows: number
  enriched: number
  repeated: number
  kept: number
  skipped: number
  rejected: number
}

export interface Standing {
  id: number
  archive: string
  /** Each as `project@version`. */
  projects: string[]
  state: string
  working: boolean
  done: number
  rows: number
  rejected: number
  counts: Record<string, Counts>
  error: string | null
  generation: string
  created_at: number
  updated_at: number
  next: string[]
  rate: number | null
  seconds_left: number | null
}

export interface Listed {
  archives: { archive: string | null; url?: string; error?: string }[]
  backfills: Standing[]
  admin: boolean
}

export interface PlannedProject {
  project: string
  task: string
  version: number
  digest: string
  input: Record<string, Json>
  columns: [string, string][]
  live: string | null
}

export interface Backfill extends Standing {
  plan: {
    url: string
    files: number
    only: string
    filter: string | null
    key_column: string
    chunk_rows: number
    projects: PlannedProject[]
  }
  admin: boolean
}

export interface Rejected {
  key: string | null
  file: string
  row: number
  reason: string
  detail: string
}

export interface Share {
  rows: number
  of: number
  share: number
  low: number
  high: number
}

export interface Slice {
  value: string
  rows: number
  flips: Share | null
  change: Estimate
  drift: Estimate | null
}

export interface Difference {
  project: string
  before: number | null
  after: number
  rows: number
  rejected: number
  inputs_changed: number
  report: {
    compared: number
    same: number
    changed: number
    gained: number
    lost: number
    flips: Share | null
    matrix: { before: string; after: string; rows: number }[]
    change: Estimate
    quantiles: { p50: number; p90: number; p99: number; most: number }
    drift: Estimate | null
    slices: Record<string, Slice[]>
    examples: {
      key: string
      text: string
      before: string | null
      after: string | null
      size: number
      prediction_before: string
      prediction_after: string
    }[]
    truth: {
      rows: number
      accuracy_before: number
      accuracy_after: number
      accuracy_gain: Estimate
      verdict: string
    } | null
  }
  gates: { gate: string; measured: number; limit: number; passes: boolean }[]
}

/** What became of documents, in the order in which it is shown. */
export const OUTCOMES = ['enriched', 'kept', 'skipped', 'rejected'] as const

/** A backfill as the ticker tells it now, where it does. */
export function fresh<T extends Standing>(known: T, running: Standing[]): T {
  const now = running.find((other) => other.id === known.id)
  return now ? { ...known, ...now } : known
}
