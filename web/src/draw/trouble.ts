import type { Problem } from '../lib/service'
import { first } from '../lib/texts.first'
import { element, written } from './element'

/** Why there is no answer. */
export function trouble(problem: Problem): HTMLElement {
  const drawn = element('div', 'trouble')
  drawn.role = 'alert'
  if (problem.status === 0) {
    drawn.append(element('p', '', first.unreachable))
    return drawn
  }
  drawn.append(element('p', 'title', problem.title || first.failed(problem.status)))
  if (problem.errors.length > 0) {
    const rows = problem.errors.map(({ loc, msg }) => element('li', '', element('code', '', loc.join('.')), ` ${msg}`))
    drawn.append(element('ul', '', ...rows))
  } else if (problem.detail) drawn.append(written('p', '', problem.detail))
  return drawn
}
