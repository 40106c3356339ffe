// The pages, each loaded when somebody goes there. The server names the files of the page that it
// sends, so that they are on their way before this runs.

import type { Component } from 'svelte'
import Project from '../pages/Project.svelte'
import { live } from './live.svelte'
import { route } from './route.svelte'

const load = {
  mesh: () => import('../pages/Mesh.svelte'),
  try: () => import('../pages/Try.svelte'),
  compare: () => import('../pages/Compare.svelte'),
  many: () => import('../pages/Many.svelte'),
  quality: () => import('../pages/Quality.svelte'),
  versions: () => import('../pages/Versions.svelte'),
  backfills: () => import('../pages/Backfills.svelte'),
  backfill: () => import('../pages/Backfill.svelte'),
  lineage: () => import('../pages/Lineage.svelte'),
} as const

type Name = keyof typeof load
type Any = Component<any>

class Pages {
  /** Whether something of the page is not here yet. */
  busy = $state(false)
  #loaded = $state.raw<Partial<Record<Name, Any>>>({})

  /** A page, once it is loaded; the head of a project's is always there. */
  get(name: string): Any | undefined {
    if (name === 'project') return Project
    return this.#loaded[name as Name]
  }

  /** Loads what the address needs. */
  async want() {
    const missing = wanted().filter((name) => this.#loaded[name] === undefined)
    this.busy = missing.length > 0
    try {
      const found = await Promise.all(missing.map(async (name) => [name, (await load[name]()).default] as const))
      if (found.length > 0) this.#loaded = { ...this.#loaded, ...Object.fromEntries(found) }
    } catch {
      // A newer mesh has other files: its page names them. While none answers, nothing is gained.
      const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
      if (live.connected && entry?.type !== 'reload') location.reload()
      return
    }
    this.busy = false
  }
}

function wanted(): Name[] {
  if (!route.known) return []
  if (route.page !== null) return [route.version === null ? 'backfills' : 'backfill']
  if (route.project === null) return ['mesh']
  return [route.view as Name]
}

export const pages = new Pages()
