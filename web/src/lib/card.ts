// What a card says, read with care: cards of different trainers have different parts.

import type { Json } from './api'

export type Estimate = { value: number; low: number; high: number }
export type Object = { [key: string]: Json }

export interface Metric {
  name: string
  estimate: Estimate
  baseline: number | null
}

export interface PerLabel {
  label: string
  precision: number
  recall: number
  f1: number
  support: number
}

export interface Target {
  target: string
  digest: string
  agreement: number | null
  drop: Estimate | null
  cosine: number | null
  perSecond: number | null
  speedup: number | null
}

export interface SplitFacts {
  name: string
  rows: number
  labels: [string, number][]
  words: { p50: number; p95: number; max: number }
}

export function object(value: Json | undefined): Object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
}

export function number(value: Json | undefined): number | null {
  return typeof value === 'number' ? value : null
}

export function estimate(value: Json | undefined): Estimate | null {
  const { value: at, low, high } = object(value)
  return typeof at === 'number' && typeof low === 'number' && typeof high === 'number'
    ? { value: at, low, high }
    : null
}

export function metrics(card: Object): Metric[] {
  const all = object(card.metrics)
  const baseline = object(all.baseline)
  return Object.entries(all).flatMap(([name, value]) => {
    const found = estimate(value)
    return found ? [{ name, estimate: found, baseline: number(baseline[name]) }] : []
  })
}

export function perLabel(card: Object): PerLabel[] {
  const all = object(card.metrics)
  return Object.entries(object(all.classes ?? all.kinds)).map(([label, told]) => {
    const figures = object(told)
    const of = (key: string) => number(figures[key]) ?? 0
    return { label, precision: of('precision'), recall: of('recall'), f1: of('f1'), support: of('support') }
  })
}

export function targets(record: Object): Target[] {
  const compiled = Array.isArray(record.compiled) ? record.compiled : []
  return compiled.map((entry) => {
    const { target, digest, report } = object(entry)
    const fidelity = object(object(report).fidelity)
    const speed = object(object(report).speed)
    return {
      target: String(target),
      digest: String(digest),
      agreement: number(fidelity.agreement),
      drop: estimate(fidelity.macro_f1_drop) ?? estimate(fidelity.f1_drop),
      cosine: number(fidelity.cosine_min),
      perSecond: number(speed.compiled),
      speedup: number(speed.speedup),
    }
  })
}

export function splits(statistics: Object): SplitFacts[] {
  const order = ['train', 'validation', 'test']
  return Object.entries(object(statistics.splits))
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .map(([name, told]) => {
      const facts = object(told)
      const words = object(facts.words)
      return {
        name,
        rows: number(facts.rows) ?? 0,
        labels: Object.entries(object(facts.labels)).map(([label, count]) => [label, Number(count)]),
        words: { p50: number(words.p50) ?? 0, p95: number(words.p95) ?? 0, max: number(words.max) ?? 0 },
      }
    })
}
