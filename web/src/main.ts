import { mount } from 'svelte'
import './style.css'
import './shell.css'
import App from './App.svelte'
import { live } from './lib/live.svelte'
import { pages } from './lib/pages.svelte'
import { route } from './lib/route.svelte'

route.start()
const target = document.getElementById('app')
// What the server drew stands until all that takes its place is there: nothing jumps.
void pages.want().then(() => {
  target?.replaceChildren()
  if (target) mount(App, { target })
  live.start()
})
