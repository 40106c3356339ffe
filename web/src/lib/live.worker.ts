// One stream for all tabs. Browsers allow six connections to a server, so seven tabs that listen
// each by itself would leave none for questions.

interface Scope {
  onconnect: ((event: MessageEvent) => void) | null
}

/** What a tab that opens is told of. */
const REMEMBERED = 60
/** A tab that says nothing for so long is gone. */
const GONE = 30_000
const AGAIN = 1000

/** Whoever draws what was says `follow`, and whoever needs to know what is, `listen`. */
export type Said = 'follow' | 'listen' | 'leave'

const tabs = new Map<MessagePort, number>()
/** Tabs that draw what was. */
const following = new Set<MessagePort>()
/** Whether the stream that is open told of it. */
let toldAll = false
let source: EventSource | null = null
let retry: ReturnType<typeof setTimeout> | undefined
let connected: boolean | null = null
let ticks: unknown[] = []
let backfills: unknown = []

export type Told =
  | { type: 'history'; ticks: unknown[] }
  | { type: 'tick'; tick: unknown }
  | { type: 'backfills'; backfills: unknown }
  | { type: 'away' }

function tell(told: Told) {
  const now = Date.now()
  for (const [tab, heard] of tabs) {
    if (now - heard > GONE) forget(tab)
    else tab.postMessage(told)
  }
  if (tabs.size === 0) close()
}

function forget(tab: MessagePort) {
  tabs.delete(tab)
  following.delete(tab)
}

function open() {
  if (source && (toldAll || following.size === 0)) return
  source?.close()
  toldAll = following.size > 0
  source = new EventSource(toldAll ? '/api/v1/live' : '/api/v1/live?history=1')
  source.addEventListener('history', (event) => {
    connected = true
    ticks = JSON.parse(event.data) as unknown[]
    tell({ type: 'history', ticks })
  })
  source.addEventListener('tick', (event) => {
    const tick: unknown = JSON.parse(event.data)
    ticks = [...ticks.slice(1 - REMEMBERED), tick]
    tell({ type: 'tick', tick })
  })
  source.addEventListener('backfills', (event) => {
    backfills = JSON.parse(event.data)
    tell({ type: 'backfills', backfills })
  })
  source.addEventListener('error', () => {
    // Some failures make the browser give up; then it is begun anew.
    close()
    connected = false
    tell({ type: 'away' })
    retry = setTimeout(() => tabs.size > 0 && open(), AGAIN)
  })
}

function close() {
  clearTimeout(retry)
  source?.close()
  source = null
}

const scope = globalThis as unknown as Scope
scope.onconnect = ({ ports: [tab] }) => {
  if (!tab) return
  tab.onmessage = ({ data }: MessageEvent<Said>) => {
    if (data === 'leave') {
      forget(tab)
      if (tabs.size === 0) close()
      return
    }
    const known = tabs.has(tab)
    tabs.set(tab, Date.now())
    if (data === 'follow') following.add(tab)
    if (known) return
    if (connected === true && source) {
      tab.postMessage({ type: 'history', ticks } satisfies Told)
      tab.postMessage({ type: 'backfills', backfills } satisfies Told)
    } else if (connected === false) tab.postMessage({ type: 'away' } satisfies Told)
    open()
  }
}
