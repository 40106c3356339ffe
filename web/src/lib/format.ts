import { count } from './numbers'

export { count, language, percent, seconds } from './numbers'

/** A figure between 0 and 1, or any other, with so many digits as tell something. */
export function figure(value: number, digits = 3): string {
  if (Math.abs(value) >= 1000) return count(value)
  const shown = value.toFixed(Math.abs(value) >= 100 ? 1 : digits)
  // A nothing that came from below is a nothing.
  return Number(shown) === 0 ? shown.replace('-', '') : shown
}

export function rate(value: number): string {
  return value === 0 ? '0' : value < 10 ? value.toFixed(1) : count(value)
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB']
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** A time that is told in one or two units. */
export function duration(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

/** How long ago something was: the day of it, if that is long. */
export function ago(milliseconds: number): string {
  const seconds = (Date.now() - milliseconds) / 1000
  if (seconds < 60) return relative.format(0, 'minute')
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), 'minute')
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), 'hour')
  return day(milliseconds)
}

export function day(milliseconds: number): string {
  return new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' }).format(
    milliseconds,
  )
}
