import { seconds } from '../lib/numbers'
import type { Answer } from '../lib/service'
import { first } from '../lib/texts.first'

/** How long an answer took, and who gave it. */
export function took({ milliseconds, version, tokens, longText }: Answer, target: string | null): string {
  const told = [version === null ? '' : first.by(version, target)]
  if (tokens !== null) told.push(first.tokens(tokens))
  if (longText) {
    const [how = '', many = ''] = longText.split('=')
    told.push(how.startsWith('windows') ? first.windows(many) : first.truncated(many))
  }
  return `${first.took(seconds(milliseconds / 1000))} ${told.filter((part) => part !== '').join(', ')}`
}
