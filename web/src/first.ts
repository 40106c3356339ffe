// What runs first. Where the server drew a form with a text, this answers while one types, and no
// more is loaded until somebody does another thing: then the whole page is drawn beside it, takes
// its place, and the thing is done. Everywhere else the whole page is loaded at once.

import { ADDRESS } from './lib/address'
import { Form, type Drawn } from './lib/form'

const app = document.getElementById('app')
const told = document.getElementById('form')?.textContent
const whole = () => import('./whole')

/** Whether the address holds more than a form knows. */
function holdsMore(): boolean {
  const query = new URLSearchParams(location.hash.slice(1))
  return [...query].some(([key, value]) => key !== 'text' || value.length > ADDRESS)
}

if (app && told && !holdsMore()) void new Form(app, JSON.parse(told) as Drawn, whole).start()
else if (app) void whole().then(({ start }) => start(app))
