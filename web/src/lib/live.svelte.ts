// What the services do, as the server tells it once a second. A page that nobody sees does not
// listen: browsers allow few connections to one server, whatever the number of tabs.

import type { Standing } from './backfills'

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
  #source: EventSource | null = null
  #retry: ReturnType<typeof setTimeout> | undefined

  start() {
    const follow = () => (document.hidden ? this.#close() : this.#open())
    document.addEventListener('visibilitychange', follow)
    follow()
  }

  get latest(): Tick {
    return this.ticks.at(-1) ?? {}
  }

  of(project: string, key: 'rps' | 'p99'): (number | null)[] {
    return this.ticks.map((tick) => tick[project]?.[key] ?? null)
  }

  #open() {
    if (this.#source) return
    const source = new EventSource('/api/v1/live')
    this.#source = source
    source.addEventListener('history', (event) => {
      if (this.connected === false) this.epoch += 1
      this.connected = true
      this.ticks = JSON.parse(event.data) as Tick[]
    })
    source.addEventListener('tick', (event) => {
      const tick = JSON.parse(event.data) as Tick
      const before = this.latest
      const moved = Object.entries(tick).some(
        ([name, pulse]) =>
          before[name] !== undefined &&
          (before[name].version !== pulse.version || before[name].ready !== pulse.ready),
      )
      if (moved) this.epoch += 1
      this.ticks = [...this.ticks.slice(1 - REMEMBERED), tick]
    })
    source.addEventListener('backfills', (event) => {
      this.backfills = JSON.parse(event.data) as Standing[]
    })
    source.addEventListener('error', () => {
      // Some failures make the browser give up; then it is begun anew.
      this.connected = false
      this.#close()
      this.#retry = setTimeout(() => !document.hidden && this.#open(), 1000)
    })
  }

  #close() {
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = null
  }
}

export const live = new Live()
