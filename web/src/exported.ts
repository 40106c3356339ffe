import { mount } from 'svelte'
import './style.css'
import './shell.css'
import './answer.css'
import { take, type Recorded } from './lib/record'
import Exported from './Exported.svelte'

const target = document.getElementById('app')
const told = document.getElementById('record')?.textContent
if (target && told) {
  const record = JSON.parse(told) as Recorded
  take(record)
  mount(Exported, { target, props: { record } })
}
