// What the services do, as the page follows it.

import type { Standing } from './backfills'
import type { Told } from './live.worker'
import { moved, Stream, type Tick } from './stream'

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
  #stream = new Stream('follow', (told) => this.#take(told))

  start() {
    this.#stream.start()
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
      if (moved(this.latest, tick)) this.epoch += 1
      this.ticks = [...this.ticks.slice(1 - REMEMBERED), tick]
    } else if (told.type === 'backfills') {
      this.backfills = told.backfills as Standing[]
    } else {
      this.connected = false
    }
  }
}

export const live = new Live()
