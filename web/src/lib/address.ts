// What the address holds of what was typed, behind the `#`.

import type { Fields } from './service'

export interface Typed {
  text: string
  second: string
  others: Fields
  parameters: Fields
}

/** A text that is longer makes an address that browsers and mails cut. */
export const ADDRESS = 4000
/** An address follows what is typed so much later, in milliseconds. */
export const FOLLOWS = 250

export function queried({ text, second, others, parameters }: Partial<Typed>): URLSearchParams {
  const query = new URLSearchParams()
  const short = (text ?? '').length + (second ?? '').length <= ADDRESS
  if (text !== undefined && short) query.set('text', text)
  if (second && short) query.set('text2', second)
  if (others && Object.keys(others).length > 0) query.set('a', JSON.stringify(others))
  if (parameters && Object.keys(parameters).length > 0) query.set('p', JSON.stringify(parameters))
  return query
}

/** Puts something into the address without a step in the history. */
export function write(query: URLSearchParams) {
  const text = query.toString()
  history.replaceState(null, '', text ? `${location.pathname}#${text}` : location.pathname)
}
