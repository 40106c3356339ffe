// What was typed last, by project: who goes to another tab of it finds it there.

import type { Typed } from './address'

const all = new Map<string, Typed>()

export function remember(project: string, typed: Partial<Typed>) {
  const before = all.get(project) ?? { text: '', second: '', others: {}, parameters: {} }
  all.set(project, { ...before, ...typed })
}

export function remembered(project: string): Typed | undefined {
  return all.get(project)
}
