// What the server tells once a second. All tabs of a browser share one stream, and one that nobody
// sees does not listen.

import type { Said, Told } from './live.worker'

/** How often the worker is told that somebody still looks. */
const BEAT = 10_000

export class Stream {
  #worker: MessagePort | null = null
  #source: EventSource | null = null
  #retry: ReturnType<typeof setTimeout> | undefined
  #ended = new AbortController()

  /** Somebody listens who needs to know what is, or follows it and draws what was too. */
  constructor(
    readonly how: Exclude<Said, 'leave'>,
    readonly take: (told: Told) => void,
  ) {}

  start() {
    const { signal } = this.#ended
    const beat = setInterval(() => !document.hidden && this.#say(this.how), BEAT)
    signal.addEventListener('abort', () => clearInterval(beat))
    const follow = () => (document.hidden ? this.#close() : this.#open())
    document.addEventListener('visibilitychange', follow, { signal })
    window.addEventListener('pagehide', () => this.#close(), { signal })
    window.addEventListener('pageshow', follow, { signal })
    follow()
  }

  /** Listens no more. */
  end() {
    this.#ended.abort()
    this.#close()
  }

  #say(said: Said) {
    this.#worker?.postMessage(said)
  }

  #connect(): MessagePort {
    // Written so that the bundler sees it.
    const worker = new SharedWorker(new URL('./live.worker.ts', import.meta.url), { type: 'module' })
    worker.port.onmessage = ({ data }: MessageEvent<Told>) => this.take(data)
    // It was not loaded: nobody else would tell.
    worker.onerror = () => {
      this.#worker = null
      this.#away()
    }
    return worker.port
  }

  #away() {
    this.take({ type: 'away' })
    this.#close()
    this.#retry = setTimeout(() => !document.hidden && this.#open(), 1000)
  }

  #open() {
    if ('SharedWorker' in window) {
      this.#worker ??= this.#connect()
      this.#say(this.how)
      return
    }
    // Some browsers of phones have no shared workers.
    if (this.#source) return
    const source = new EventSource(this.how === 'follow' ? '/api/v1/live' : '/api/v1/live?history=1')
    this.#source = source
    const read = (event: MessageEvent<string>): unknown => JSON.parse(event.data)
    source.addEventListener('history', (event) => this.take({ type: 'history', ticks: read(event) as unknown[] }))
    source.addEventListener('tick', (event) => this.take({ type: 'tick', tick: read(event) }))
    source.addEventListener('backfills', (event) => this.take({ type: 'backfills', backfills: read(event) }))
    source.addEventListener('error', () => this.#away())
  }

  #close() {
    this.#say('leave')
    clearTimeout(this.#retry)
    this.#source?.close()
    this.#source = null
  }
}

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

/** Whether a service came or went between two ticks, or another version answers. */
export function moved(before: Tick, now: Tick): boolean {
  return Object.entries(now).some(
    ([name, { ready, version }]) =>
      before[name] !== undefined && (before[name].version !== version || before[name].ready !== ready),
  )
}
