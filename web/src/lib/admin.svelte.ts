// The admin key. It is kept in this page's memory and nowhere else: who loads the page anew is asked
// again.

import { post } from './api'

class Admin {
  key = $state('')

  /** Asks for a change that only whoever has the key may make. */
  async ask<T>(url: string): Promise<T> {
    return post<T>(url, this.key)
  }
}

export const admin = new Admin()
