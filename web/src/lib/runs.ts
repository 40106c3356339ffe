// Spans of panels, and of what two texts share.

import type { Span } from './spans'

/** Spans that are told in characters, in the text's own units. */
export function characters(
  text: string,
  spans: { start: number; end: number; label: string }[],
): Span<string>[] {
  const offsets = [0]
  for (const character of text) offsets.push(offsets.at(-1)! + character.length)
  const place = (at: number) => offsets[Math.min(at, offsets.length - 1)] ?? text.length
  return spans.map(({ start, end, label }) => ({ from: place(start), to: place(end), value: label }))
}

/** Runs of at least `length` words that both texts have, as spans in the one. */
export function sharedRuns(text: string, other: string, length: number): Span<true>[] {
  const words = (of: string) =>
    [...of.matchAll(/[\p{L}\p{N}_]+/gu)].map((match) => ({
      word: match[0].toLowerCase(),
      from: match.index,
      to: match.index + match[0].length,
    }))
  const shingle = (all: { word: string }[], at: number) =>
    all.slice(at, at + length).map(({ word }) => word).join(' ')
  const here = words(text)
  const there = words(other)
  const known = new Set<string>()
  for (let at = 0; at + length <= there.length; at += 1) known.add(shingle(there, at))
  const spans: Span<true>[] = []
  for (let at = 0; at + length <= here.length; at += 1) {
    if (!known.has(shingle(here, at))) continue
    const from = here[at]!.from
    const to = here[at + length - 1]!.to
    const last = spans.at(-1)
    if (last && from <= last.to) last.to = to
    else spans.push({ from, to, value: true })
  }
  return spans
}
