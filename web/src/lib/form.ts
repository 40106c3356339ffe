// A form that the server drew, with one text in it: it answers while one types.

import { Drawing, drawnAs } from '../draw/answer'
import { element } from '../draw/element'
import { took } from '../draw/took'
import { trouble } from '../draw/trouble'
import { ADDRESS, FOLLOWS, queried, write } from './address'
import { Problem, question, type Answer, type Asked, type Fields } from './service'
import { shown } from './shown'
import { curl } from './snippets'
import { moved, Stream, type Tick } from './stream'
import { first } from './texts.first'
import type { Told } from './live.worker'

/** What the server tells of the form that it drew. */
export interface Drawn extends Asked {
  /** Attributes beside the text, of the sample that is in the form. */
  others: Fields
  /** By version the one target that it was compiled for. */
  targets: Record<string, string>
}

/** The page that takes the form's place. */
export interface Whole {
  ready(): Promise<void>
  start(target: HTMLElement): Promise<void>
  prepare(isDrawn: (target: HTMLElement) => boolean): Promise<HTMLElement | null>
}

/** Keys that come quicker than this are asked together, in milliseconds. */
export const PAUSE = 25
const CONTROLS = 'a, button, summary'
/** What stands in the answer's place once something was asked, or need not be. */
const ANSWERED = '[data-answer], [role=alert], .answer > p'

export class Form {
  #field: HTMLTextAreaElement
  #place: HTMLElement
  #code: HTMLElement | null
  /** What the manifest writes above the answer. */
  #head: Element[]
  #told = element('div')
  #took = element('p', 'took muted small')
  #waiting = element('p', 'muted', first.waiting)
  #drawing: Drawing
  #stream = new Stream('listen', (told) => this.#follow(told))
  #away = element('p', 'away', first.away)
  #tick: Tick = {}
  #others: Fields
  #answer: Answer | null = null
  #under = new AbortController()
  #pause: ReturnType<typeof setTimeout> | undefined
  #address: ReturnType<typeof setTimeout> | undefined
  /** Ends what this listens to. */
  #over = new AbortController()
  #leaving = false
  /** What was clicked last, and is to be clicked in the whole page. */
  #clicked: Element | null = null
  #composing = false

  constructor(
    readonly app: HTMLElement,
    readonly drawn: Drawn,
    readonly whole: () => Promise<Whole>,
  ) {
    const find = <T extends Element>(selector: string) => app.querySelector<T>(selector)
    this.#field = find<HTMLTextAreaElement>('#text') ?? element('textarea')
    this.#place = find<HTMLElement>('.answer') ?? element('section')
    this.#code = find<HTMLElement>('.code pre')
    this.#head = [...this.#place.children]
    this.#others = location.hash.length > 1 ? {} : drawn.others
    const drawing = element('div')
    drawing.dataset.drawn = ''
    this.#told.dataset.answer = ''
    this.#told.append(drawing)
    this.#drawing = new Drawing(drawing, async (content, signal) => {
      const { prediction } = await question(drawn, { content }, {}, signal)
      return prediction
    })
  }

  async start() {
    const { signal } = this.#over
    this.#field.addEventListener('input', () => this.#typed(), { signal })
    this.app.addEventListener('click', (event) => this.#click(event), { signal })
    for (const name of ['compositionstart', 'compositionend']) {
      this.#field.addEventListener(name, () => (this.#composing = name === 'compositionstart'), { signal })
    }
    // Whoever goes to another thing is about to need it.
    for (const name of ['pointerdown', 'focusin']) {
      this.app.addEventListener(name, (event) => control(event) && this.#expect(), { signal })
    }
    window.addEventListener('hashchange', () => this.#give(), { signal })
    await shown()
    if (signal.aborted) return
    this.#code?.replaceChildren(this.#curl())
    void this.#ask()
    this.app.querySelector('main')?.setAttribute('aria-busy', 'false')
    // The answer comes first.
    setTimeout(() => !this.#over.signal.aborted && this.#stream.start(), PAUSE)
  }

  get #attributes(): Fields {
    return { content: this.#field.value, ...this.#others }
  }

  #typed() {
    if (this.#leaving) return
    // The whole page knows what to do with long texts, and what an address cannot hold.
    if (this.#field.value.length > ADDRESS) {
      void this.#leave(null)
      return
    }
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => void this.#ask(), PAUSE)
    clearTimeout(this.#address)
    this.#address = setTimeout(() => this.#keep(), FOLLOWS)
    this.#code?.replaceChildren(this.#curl())
  }

  #curl(): string {
    return curl(this.drawn, this.#attributes, {})
  }

  #keep() {
    write(queried({ text: this.#field.value, others: this.#others }))
  }

  /** The newest question is asked, older ones are called off. */
  async #ask() {
    this.#under.abort()
    const mine = new AbortController()
    this.#under = mine
    const attributes = this.#attributes
    if (this.#field.value.trim() === '') {
      this.#answer = null
      this.#show(null)
      return
    }
    try {
      const answer = await question(this.drawn, attributes, {}, mine.signal)
      if (mine.signal.aborted) return
      const { prediction, version } = answer
      const kind = drawnAs(prediction)
      if (kind === null) {
        // What is drawn in another way.
        void this.#leave(null)
        return
      }
      this.#answer = answer
      this.#drawing.draw(kind, { prediction, attributes, version, label: this.#place.ariaLabel ?? '' })
      this.#took.textContent = took(answer, this.drawn.targets[version ?? ''] ?? null)
      this.#show(null)
    } catch (error) {
      if (mine.signal.aborted || !(error instanceof Problem)) return
      if (error.status !== 0) this.#answer = null
      this.#show(error)
    }
  }

  #show(problem: Problem | null) {
    const parts = [...this.#head]
    if (problem) parts.push(trouble(problem))
    if (this.#answer) parts.push(this.#told, this.#took)
    else if (!problem) parts.push(this.#waiting)
    this.#told.classList.toggle('old', problem !== null)
    // What stands already is not put there again: bars would jump instead of move.
    const { children } = this.#place
    if (parts.length !== children.length || parts.some((part, at) => part !== children[at])) {
      this.#place.replaceChildren(...parts)
    }
    this.#place.ariaBusy = 'false'
  }

  #follow(told: Told) {
    if (told.type === 'away') {
      this.app.querySelector('[role=status]')?.replaceChildren(this.#away)
    } else if (told.type === 'history') {
      this.#tick = (told.ticks as Tick[]).at(-1) ?? {}
      if (this.#away.isConnected) void this.#ask()
      this.#away.remove()
    } else if (told.type === 'tick') {
      const tick = told.tick as Tick
      if (moved(this.#tick, tick)) void this.#ask()
      this.#tick = tick
    }
  }

  #click(event: MouseEvent) {
    const clicked = control(event)
    if (!clicked || event.button !== 0) return
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    void this.#leave(clicked)
  }

  #expect() {
    // Whether it can be loaded is seen when it is needed.
    this.whole().then(({ ready }) => ready(), () => undefined)
  }

  #end() {
    this.#over.abort()
    this.#under.abort()
    this.#drawing.stop()
    this.#stream.end()
    clearTimeout(this.#pause)
    clearTimeout(this.#address)
  }

  /** Gives way: the address is another, and what is here is no more asked for. */
  #give() {
    this.#end()
    void this.whole().then(({ start }) => start(this.app))
  }

  /** Lets the whole page take the place of this; what was clicked is clicked there. */
  async #leave(clicked: Element | null) {
    this.#clicked = clicked ?? this.#clicked
    if (this.#leaving) return
    this.#leaving = true
    const field = this.#field
    const long = field.value.length > ADDRESS ? field.value : null
    clearTimeout(this.#address)
    if (long === null) this.#keep()
    else {
      // Before it is laid out.
      field.value = long.slice(0, ADDRESS)
      field.readOnly = true
    }
    const target = await this.#prepare()
    // What somebody composes would be lost in the middle.
    if (this.#composing) await new Promise((done) => field.addEventListener('compositionend', done, { once: true }))
    if (this.#over.signal.aborted) return
    if (!target) {
      this.#stay(long)
      return
    }
    this.#end()
    this.#replace(target, long)
  }

  async #prepare(): Promise<HTMLElement | null> {
    try {
      const { prepare } = await this.whole()
      return await prepare((target) => target.querySelector('#text') !== null && target.querySelector(ANSWERED) !== null)
    } catch {
      return null
    }
  }

  /** Goes on as it was: the whole page cannot be had. */
  #stay(long: string | null) {
    const link = this.#clicked instanceof HTMLAnchorElement ? this.#clicked.href : null
    this.#clicked = null
    this.#leaving = false
    this.#field.readOnly = false
    if (long !== null) this.#field.value = long
    this.#show(new Problem(0, 'unreachable', '', ''))
    const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
    // A browser knows what to do where nobody answers. A newer mesh has other files, which its page names.
    if (link) location.assign(link)
    else if (long === null && !this.#away.isConnected && entry?.type !== 'reload') location.reload()
  }

  #replace(target: HTMLElement, long: string | null) {
    const field = target.querySelector<HTMLTextAreaElement>('#text')
    const { value, selectionStart, selectionEnd } = this.#field
    const focused = document.activeElement
    const clicked = this.#clicked && twin(this.#clicked, this.app, target)
    const other = focused && this.app.contains(focused) && focused !== this.#field ? twin(focused, this.app, target) : null
    const top = window.scrollY
    target.id = this.app.id
    this.app.replaceWith(target)
    // What was typed meanwhile.
    if (field && field.value !== (long ?? value)) {
      field.value = long ?? value
      field.dispatchEvent(new Event('input', { bubbles: true }))
    }
    if (focused === this.#field && field) {
      field.focus({ preventScroll: true })
      field.setSelectionRange(selectionStart, selectionEnd)
    } else other?.focus({ preventScroll: true })
    window.scrollTo(0, top)
    clicked?.click()
  }
}

/** The control of the whole page that is the same as one of the form: what it says is the same. */
function twin(one: Element, among: HTMLElement, target: HTMLElement): HTMLElement | undefined {
  const says = (of: Element) =>
    `${of.localName} ${of.ariaLabel ?? of.textContent?.replace(/\s+/g, '') ?? ''}`
  const alike = (within: HTMLElement) =>
    [...within.querySelectorAll<HTMLElement>(CONTROLS)].filter((other) => says(other) === says(one))
  return alike(target)[alike(among).findIndex((other) => other === one)]
}

function control(event: Event): Element | null {
  return event.target instanceof Element ? event.target.closest(CONTROLS) : null
}
