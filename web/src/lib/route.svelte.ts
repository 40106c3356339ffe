// The address: `#/project/view?key=value`, or `#/-/page` for what is of no project. What is behind `#` never leaves the browser, so what
// somebody tries is in no log.

class Route {
  project = $state<string | null>(null)
  /** A page that is of no project. No project can have its name. */
  page = $state<string | null>(null)
  view = $state('try')
  version = $state<number | null>(null)
  query = $state.raw(new URLSearchParams())

  start() {
    const read = () => {
      const [place = '', query = ''] = splitOnce(location.hash.slice(1), '?')
      const [project, view, version] = place.split('/').filter((part) => part !== '')
      this.query = new URLSearchParams(query)
      this.version = version && /^\d+$/.test(version) ? Number(version) : null
      const elsewhere = project === '-'
      this.page = elsewhere ? (view ?? null) : null
      this.view = view ?? 'try'
      this.project = project === undefined || elsewhere ? null : decode(project)
    }
    window.addEventListener('hashchange', read)
    read()
  }

  /** Puts something into the address without a step in the history. */
  keep(query: URLSearchParams) {
    const [place = ''] = splitOnce(location.hash, '?')
    const text = query.toString()
    history.replaceState(null, '', text ? `${place || '#/'}?${text}` : place || '#/')
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

export const route = new Route()

export function address(project: string, view = 'try', version?: number): string {
  const base = `#/${encodeURIComponent(project)}/${view}`
  return version === undefined ? base : `${base}/${version}`
}

export const backfillsAddress = '#/-/backfills'

export function backfillAddress(id: number): string {
  return `${backfillsAddress}/${id}`
}
