// Opens a page in Chromium with nothing cached and tells, as JSON, when it was drawn and what it
// loaded. Arguments: whose page it is, and its address.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'

const { chromium } = createRequire(new URL('../tests/browser/walk.mjs', import.meta.url))('playwright-core')
const [name, url] = process.argv.slice(2)
const KEYS = 20
const FORM = { mesh: '#text', gradio: 'textarea', streamlit: 'textarea' }
const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })

/** A page that nobody opened before, and what came over the wire for it. */
async function open(address, until) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } })
  const page = await context.newPage()
  const wire = await context.newCDPSession(page)
  const told = { bytes: 0, elsewhere: 0 }
  await wire.send('Network.enable')
  wire.on('Network.loadingFinished', ({ encodedDataLength }) => (told.bytes += encodedDataLength))
  wire.on('Network.requestWillBeSent', ({ request }) => {
    if (!request.url.startsWith(url) && /^(https?|wss?):/.test(request.url)) told.elsewhere += 1
  })
  await page.goto(address)
  await page.locator(until).first().waitFor()
  told.form = await page.evaluate(() => performance.now())
  // What is loaded behind the first form counts too.
  await page.waitForLoadState('load')
  await page.waitForTimeout(1000)
  told.drawn = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN)
  // What is asked later is no part of it.
  return { page, told: { ...told } }
}

// A browser that was just started is slow with its first page, whichever it is.
const warm = await browser.newPage()
await warm.goto('about:blank')
const { page, told } = await open(name === 'mesh' ? `${url}sentiment/try` : url, FORM[name])
if (name === 'mesh') {
  await page.locator('[data-answer]').waitFor()
  await page.locator('#text').press('Control+End')
  const times = []
  for (let at = 0; at < KEYS; at += 1) {
    // The clock starts when the page sees the key, and ends when the frame with the answer is drawn.
    await page.evaluate(() => {
      globalThis.took = new Promise((resolve) => {
        document.querySelector('#text').addEventListener('keydown', () => {
          const started = performance.now()
          const seen = new MutationObserver(() => {
            seen.disconnect()
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - started)))
          })
          seen.observe(document.querySelector('.answer'), { subtree: true, childList: true, characterData: true, attributes: true })
        }, { once: true })
      })
    })
    await page.locator('#text').press(at % 2 ? 'Backspace' : 'a')
    times.push(await page.evaluate(() => globalThis.took))
  }
  times.sort((a, b) => a - b)
  const first = await open(url, '.project a')
  Object.assign(told, { key: times[KEYS / 2], slowest: times[KEYS - 1], first_page: first.told.bytes, first_drawn: first.told.drawn })
}
console.log(JSON.stringify(told))
await browser.close()
