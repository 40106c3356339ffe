// The whole page: it takes the place of what the server drew.

import { mount, unmount } from 'svelte'
import App from './App.svelte'
import { live } from './lib/live.svelte'
import { pages } from './lib/pages.svelte'
import { route } from './lib/route.svelte'
import { shown } from './lib/shown'

/** Somebody waits no longer for a page that is drawn beside theirs, in milliseconds. */
const PATIENCE = 5_000

/** Ends once all is loaded that the address needs. */
export async function ready() {
  route.start()
  await pages.want()
}

/** Mounts it where the server drew no more than a head: that stands until all is there, and nothing jumps. */
export async function start(target: HTMLElement) {
  await Promise.all([ready(), shown()])
  target.replaceChildren()
  mount(App, { target })
  live.start()
}

/** Mounts it beside a form that somebody uses, until it is drawn; nothing if that does not come to be. */
export async function prepare(isDrawn: (target: HTMLElement) => boolean): Promise<HTMLElement | null> {
  await ready()
  const target = document.createElement('div')
  const app = mount(App, { target })
  const until = performance.now() + PATIENCE
  while (!isDrawn(target) && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 4))
  if (!isDrawn(target)) {
    void unmount(app)
    return null
  }
  live.start()
  return target
}
