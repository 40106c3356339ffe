import { percent } from '../lib/numbers'
import { element, written } from './element'

export interface Bar {
  name: string
  value: number
  note?: string
}

export interface Bars {
  bars: Bar[]
  label: string
  /** What a whole bar is. */
  most?: number
  show?: (value: number) => string
}

/** Draws bars; those that are there already move to their new lengths. */
export function drawBars(into: HTMLElement, { bars, label, most = 1, show = (value) => percent(value) }: Bars) {
  let list = into.firstElementChild
  if (!list) {
    list = element('ol', 'bars')
    into.append(list)
  }
  list.setAttribute('aria-label', label)
  const least = Math.min(0, ...bars.map(({ value }) => value))
  bars.forEach(({ name, note, value }, at) => {
    const row = list.children[at] ?? list.appendChild(empty())
    const [named, figure, track] = row.children
    named?.replaceChildren(name, ...(note ? [' ', element('span', 'muted note', note)] : []))
    figure?.replaceChildren(show(value))
    const length = Math.max(0, Math.min(1, (value - least) / (most - least || 1)))
    const bar = track?.firstElementChild as HTMLElement | undefined
    if (bar) bar.style.width = `${length * 100}%`
  })
  while (list.children.length > bars.length) list.lastElementChild?.remove()
}

function empty(): HTMLElement {
  const track = element('span', 'track', element('span', 'eased'))
  track.ariaHidden = 'true'
  return element('li', '', written('span', 'name'), element('span', 'value'), track)
}
