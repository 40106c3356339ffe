// What the services do, as the server tells it once a second. All tabs of a browser share one
// stream, and one that nobody sees does not listen.

import type { Standing } from './backfills'
import type { Told } from './live.worker'

export interface Pulse {
  ready: boolean
  version: number | null
  rps: number
  errors: number
  p50: number | null
  p99: number | null
  answered: number
  failed: number
}

export type Tick = Record<string, Pulse>

const REMEMBERED = 60
/** How often the worker is told that somebody still looks. */
const BEAT = 10_000

class Live {
  ticks = $state.raw<Tick[]>([])
  /** Whether the mesh answers; `null` until that is known. */
  connected = $state<boolean | null>(null)
  /** Counts how often the mesh came back, or told of another version: what was read is old then. */
  epoch = $state(0)
  /** Backfills under way. */
  backfills = $state.raw<Standing[]>([])
  /** Which backfills are under way, in a word: who shows others reads them anew when it changes. */
  under = $derived(this.backfills.map(({ id, working }) => `${id}${working}`).join(' '))
  #worker: MessagePort | null = null
  #source: EventSource | null = null
  #retry: ReturnType<typeof setTimeout> | undefined

  start() {
    if ('SharedWorker' in window) {
      // Written so that the bundler sees it.
      const worker = new SharedWorker(new URL('./live.worker.ts', import.meta.url), { type: 'module' })
      this.#worker = worker.port
      this.#worker.onmessage = ({ data }: MessageEvent<Told>) => this.#take(data)
      setInterval(() => !document.hidden && this.#worker?.postMessage('listen'), BEAT)
    }
    const follow = () => (document.hidden ? this.#close() : this.#open())
    document.addEventListener('visibilitychange', follow)
    window.addEventListener('pagehide', () => this.#close())
    window.addEventListener('pageshow', follow)
    follow()
  }

  get latest(): Tick {
    return this.ticks.at(-1) ?? {}
  }

  of(project: string, key: 'rps' | 'p99'): (number | null)[] {
    return this.ticks.map((tick) => tick[project]?.[key] ?? null)
  }

  #take(told: Told) {
    if (told.type === 'history') {
      if (this.connected === false) this.epoch += 1
      this.connected = true
      this.ticks = told.ticks as Tick[]
    } else if (told.type === 'tick') {
      const tick = told.tick as Tick
      const before = this.latest
      const moved = Object.entries(tick).some(
        ([name, pulse]) =>
          before[name] !== undefined &&
          (before[name].version !== pulse.version || before[name].ready !== pulse.ready),
      )
      if (moved) this.epoch += 1
      this.ticks = [...this.ticks.slice(1 - REMEMBERED), tick]
    } else if (told.type === 'backfills') {
      this.backfills = told.backfills as Standing[]
    } else {
      this.connected = false
    }
  }

  #open() {
    if (this.#worker) {
      this.#worker.postMessage('listen')
      return
    }
    // Some browsers of phones have no shared workers.
    if (this.#source) return
    const source = new EventSource('/api/v1/live')
    this.#source = source
    const read = (event: MessageEvent<string>): unknown => JSON.parse(event.data)
    source.addEventListener('history', (event) => this.#take({ type: 'history', ticks: read(event) as unknown[] }))
    source.addEventListener('tick', (event) => this.#take({ type: 'tick', tick: read(event) }))
    source.addEventListener('backfills', (event) => this.#take({ type: 'backfills', backfills: read(event) }))
    source.addEventListener('error', () => {
      this.#take({ type: 'away' })
      this.#close()
      this.#retry = setTimeout(() => !document.hidden && this.#open(), 1000)
    })
  }

  #close() {
    this.#worker?.postMessage('leave')
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = null
  }
}

export const live = new Live()
