// Figures and names as they are told beside an answer.

export const integer = new Intl.NumberFormat('en')

export function count(value: number): string {
  return integer.format(Math.round(value))
}

export function percent(value: number, digits = 1): string {
  return `${(value * 100).toFixed(digits)}%`
}

export function seconds(value: number | null): string {
  if (value === null) return '–'
  const ms = value * 1000
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  return `${(ms / 1000).toFixed(1)} s`
}

const names = new Intl.DisplayNames('en', { type: 'language', fallback: 'code' })

export function language(code: string): string {
  try {
    return names.of(code) ?? code
  } catch {
    return code
  }
}
