// Opens a page in Chromium with nothing cached and tells, as JSON, when it was drawn and what came
// over the wire. Arguments: whose page it is, and its address; `plain` is a page of one line.

import { existsSync } from 'node:fs'
import { createServer as serve } from 'node:http'
import { createRequire } from 'node:module'
import { connect, createServer } from 'node:net'

const { chromium } = createRequire(new URL('../tests/browser/walk.mjs', import.meta.url))('playwright-core')
const KEYS = 20
/** What somebody types, a key every so many milliseconds. */
const TYPED = 'A dull film'
const PACE = 80
const PAGES = {
  mesh: {
    page: 'sentiment/try',
    // An answer that is no page: it starts the browser's process for this server, and no more.
    tiny: 'assets/show/nothing',
    form: '#text',
    answer: () => document.querySelector('[data-answer]')?.innerText ?? '',
  },
  gradio: {
    page: '',
    tiny: 'nothing',
    form: 'textarea',
    answer: () => document.querySelector('[data-testid=label-output-value]')?.closest('.container')?.innerText ?? '',
  },
  streamlit: {
    page: '',
    tiny: '_stcore/health',
    form: 'textarea',
    // It answers when somebody is done with the text. A chart is a drawing.
    done: 'Control+Enter',
    answer: () => document.querySelector('[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg')?.outerHTML ?? '',
  },
  plain: { page: '', tiny: 'nothing', form: 'p', answer: null },
}
const [name, given] = process.argv.slice(2)
const { page: address, tiny, form, done, answer } = PAGES[name]
const url = given || (await plain())
const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })

/** A server of a page of one line: what is left is the browser's own time. */
async function plain() {
  const server = serve((request, response) => {
    response.writeHead(request.url === '/' ? 200 : 404, { 'content-type': 'text/html' })
    response.end(request.url === '/' ? '<!doctype html><title>plain</title><p>plain</p>' : 'nothing')
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  server.unref()
  return `http://127.0.0.1:${server.address().port}/`
}

/** A way to the server that counts all bytes that come back on it, of whatever protocol. */
async function counted() {
  const count = { bytes: 0 }
  const { hostname, port } = new URL(url)
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    upstream.on('data', (data) => (count.bytes += data.length))
    client.pipe(upstream).pipe(client)
    for (const [one, other] of [[client, upstream], [upstream, client]]) one.on('error', () => other.destroy())
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  server.unref()
  return { url: `http://127.0.0.1:${server.address().port}/`, count }
}

async function fresh() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } })
  return context.newPage()
}

const contentful = (page) =>
  page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN)

/** When a page that nobody opened before is drawn, and when its form is there. */
async function open(address, until, { started = false } = {}) {
  const page = await fresh()
  const wire = await page.context().newCDPSession(page)
  const told = { elsewhere: 0 }
  await wire.send('Network.enable')
  wire.on('Network.requestWillBeSent', ({ request }) => {
    if (!request.url.startsWith(url) && /^(https?|wss?):/.test(request.url)) told.elsewhere += 1
  })
  if (started) await page.goto(url + tiny)
  await page.goto(address)
  await page.locator(until).first().waitFor()
  told.form = await page.evaluate(() => performance.now())
  await page.waitForLoadState('load')
  await page.waitForTimeout(1000)
  told.drawn = await contentful(page)
  return { page, told }
}

/** What came over the wire until a second after what somebody typed was answered. */
async function typed() {
  const { url, count } = await counted()
  const page = await fresh()
  await page.goto(url + address)
  const field = page.locator(form).first()
  await field.waitFor()
  await page.waitForLoadState('load')
  await page.waitForTimeout(1000)
  await field.click()
  await page.keyboard.press('Control+A')
  const before = await page.evaluate(answer)
  await page.keyboard.type(TYPED, { delay: PACE })
  if (done) await page.keyboard.press(done)
  await page.waitForFunction(`(${answer})() !== ${JSON.stringify(before)}`)
  await page.waitForTimeout(1000)
  await page.context().close()
  return count.bytes
}

/** All that came over the wire for a page that was opened, a second after it was loaded. */
async function loaded(address, until) {
  const { url, count } = await counted()
  const page = await fresh()
  await page.goto(url + address)
  await page.locator(until).first().waitFor()
  await page.waitForLoadState('load')
  await page.waitForTimeout(1000)
  await page.context().close()
  return count.bytes
}

// A browser that was just started is slow with its first page, whichever it is.
const warm = await browser.newPage()
await warm.goto('about:blank')
const { page, told } = await open(url + address, form)
const { page: other, told: again } = await open(url + address, form, { started: true })
await other.context().close()
Object.assign(told, { started_drawn: again.drawn, started_form: again.form })
if (answer) told.bytes = await typed()
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
  const bytes = await loaded('', '.project a')
  Object.assign(told, { key: times[KEYS / 2], slowest: times[KEYS - 1], first_page: bytes, first_drawn: first.told.drawn })
}
console.log(JSON.stringify(told))
await browser.close()
