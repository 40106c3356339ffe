// Figures and names as they are told beside an answer.

// Browsers take their time to make these: each is made when it is needed.
let integers: Intl.NumberFormat | undefined
let names: Intl.DisplayNames | undefined

export function count(value: number): string {
  integers ??= new Intl.NumberFormat('en')
  return integers.format(Math.round(value))
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

export function language(code: string): string {
  try {
    names ??= new Intl.DisplayNames('en', { type: 'language', fallback: 'code' })
    return names.of(code) ?? code
  } catch {
    return code
  }
}
