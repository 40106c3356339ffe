import { mount } from 'svelte'
import './style.css'
import './shell.css'
import App from './App.svelte'
import { live } from './lib/live.svelte'
import { pages } from './lib/pages.svelte'
import { route } from './lib/route.svelte'

route.start()
const target = document.getElementById('app')
/** Ends once what the server drew was shown: to mount takes longer than that. Of a tab that nobody sees, at once. */
function shown(): Promise<void> {
  return new Promise((resolve) => {
    if (document.hidden) resolve()
    else requestAnimationFrame(() => setTimeout(resolve))
  })
}
// It stands until all that takes its place is there: nothing jumps.
void Promise.all([pages.want(), shown()]).then(() => {
  target?.replaceChildren()
  if (target) mount(App, { target })
  live.start()
})
