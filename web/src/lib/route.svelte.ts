// The address: `/project/view/version#key=value`, or `/-/page/id` for what is of no project. What is
// behind `#` never leaves the browser, so what somebody tries is in no log.

import { write } from './address'
import words from './words.json'

class Route {
  project = $state<string | null>(null)
  /** A page that is of no project. No project can have its name. */
  page = $state<string | null>(null)
  view = $state('try')
  version = $state<number | null>(null)
  query = $state.raw(new URLSearchParams())
  /** Counts how often somebody came to an address: what it holds is to be read then. */
  arrived = $state(0)
  #read = ''
  #started = false

  start() {
    // Again, it only reads the address.
    if (this.#started) {
      this.#arrive()
      return
    }
    this.#started = true
    window.addEventListener('popstate', () => this.#arrive())
    window.addEventListener('hashchange', () => this.#arrive())
    document.addEventListener('click', (event) => this.#follow(event))
    this.#arrive()
  }

  /** Whether there is such a page; a project is another question. */
  get known(): boolean {
    if (this.page !== null) return this.page === 'backfills'
    return this.project === null || this.view in words.tabs
  }

  go(address: string) {
    history.pushState(null, '', address)
    this.#arrive()
  }

  /** Puts something into the address without a step in the history. */
  keep(query: URLSearchParams) {
    write(query)
    this.#read = location.href
  }

  #arrive() {
    // Addresses of before had all behind the `#`.
    if (location.hash.startsWith('#/')) {
      history.replaceState(null, '', location.hash.slice(1).replace('?', '#'))
    }
    if (location.href === this.#read) return
    this.#read = location.href
    const [project, view, version] = location.pathname.split('/').filter((part) => part !== '')
    this.query = new URLSearchParams(location.hash.slice(1))
    this.version = version && /^\d+$/.test(version) ? Number(version) : null
    const elsewhere = project === '-'
    this.page = elsewhere ? (view ?? '') : null
    this.view = view ?? 'try'
    this.project = project === undefined || elsewhere ? null : decode(project)
    this.arrived += 1
  }

  /** A link to another page is followed here, without a load. */
  #follow(event: MouseEvent) {
    if (event.defaultPrevented || event.button !== 0) return
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = event.target instanceof Element ? event.target.closest('a') : null
    const to = link?.getAttribute('href')
    if (!to || !isPage(to)) return
    event.preventDefault()
    this.go(to)
  }
}

function isPage(address: string): boolean {
  const [project, view] = (address.split('#', 1)[0] ?? '').slice(1).split('/')
  return address.startsWith('/') && (project === '' || project === '-' || (view ?? '') in words.tabs)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const route = new Route()

export function address(project: string, view = 'try', version?: number): string {
  const base = `/${encodeURIComponent(project)}/${view}`
  return version === undefined ? base : `${base}/${version}`
}

export const backfillsAddress = '/-/backfills'

export function backfillAddress(id: number): string {
  return `${backfillsAddress}/${id}`
}
