// Walks the page of every project in Debian's Chromium and fails at the first thing that is not as
// it should be. Arguments: the address of the mesh, the folder for screenshots, and what to do:
// `look` (every page in both themes and on a phone), `use` (what somebody does on the pages), `tabs`
// (two hundred of them) or `exported` (pages that were taken away, from a folder).
// What must happen to the server meanwhile is asked on standard output, and answered on standard
// input; what was measured is told on standard error.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const [base, out, what, only] = process.argv.slice(2)
const DEADLINE = 30_000
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
assert(executablePath, 'no Chromium: `make test` installs it on Debian')
const browser = await chromium.launch({ executablePath, args: [
  '--no-sandbox',
  '--disable-dev-shm-usage',
  // A process for each of two hundred tabs is more than a small machine bears.
  ...(what === 'tabs' ? ['--renderer-process-limit=2'] : []),
] })
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** A page that fails when something is loaded from elsewhere, or when the console has an error. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
  context.setDefaultTimeout(DEADLINE)
  const page = await context.newPage()
  const faults = []
  page.expected = false
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(base) && !url.startsWith('blob:') && !url.startsWith('data:')) faults.push(`asked ${url}`)
  })
  page.on('console', (message) => {
    if (message.type() === 'error' && !page.expected) faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(String(error)))
  page.faults = faults
  return page
}

async function settled(page) {
  await page.waitForFunction(() => {
    const main = document.querySelector('main')
    const text = main?.innerText ?? ''
    return document.querySelector('h1') && main.getAttribute('aria-busy') === 'false' && !/Loading…|Asking the model|Comparing…/.test(text) &&
      (!document.querySelector('.answer') || document.querySelector('[data-answer], [role=alert], .answer p'))
  })
}

/** Goes to a page as a link does, without a load. */
async function visit(page, address) {
  await page.evaluate((address) => {
    const link = Object.assign(document.createElement('a'), { href: address })
    document.body.append(link)
    link.click()
    link.remove()
  }, address)
  await page.waitForFunction((address) => location.pathname === address, address)
}

/**
 * Goes to a page with a form that the server draws. A busy server that does not find its examples in
 * time sends the whole page instead, which is as good for people: it is asked again.
 */
async function goForm(page, address, { asked = [], ...options } = {}) {
  for (let again = 0; again < 20; again += 1) {
    await page.goto('about:blank')
    asked.length = 0
    await page.goto(`${base}/${address}`, options)
    await page.locator('#form, #told').first().waitFor({ state: 'attached' })
    if ((await page.locator('#form').count()) > 0) return
  }
  assert.fail(`no form at ${address}`)
}

async function accessible(page, where, rules = {}) {
  // The policy of the page forbids scripts from elsewhere; this one comes by the debugger.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe)
  const found = await page.evaluate((rules) => globalThis.axe.run(document, { resultTypes: ['violations'], ...rules }), rules)
  const serious = found.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`)
  assert.deepEqual(told, [], where)
}

async function look() {
  const { projects } = await (await fetch(`${base}/api/v1/mesh`)).json()
  const { backfills } = await (await fetch(`${base}/api/v1/backfills`)).json()
  const tabs = ['try', 'compare', 'many', 'quality', 'versions', 'backfills', 'lineage']
  const views = [
    '',
    '-/backfills',
    ...backfills.map(({ id }) => `-/backfills/${id}`),
    ...projects.flatMap(({ project }) => tabs.map((view) => `${project}/${view}`)),
  ]
  const kinds = [
    { name: 'light', options: { colorScheme: 'light' }, rules: {} },
    // The markup is the same: its colours are not in the dark, and its places are not on a phone.
    { name: 'dark', options: { colorScheme: 'dark' }, rules: { runOnly: ['color-contrast'] } },
    { name: 'phone', rules: { rules: { 'color-contrast': { enabled: false } } }, options: { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } },
  ]
  const walk = async ({ name, options, rules }) => {
    const page = await open(options)
    await page.goto(`${base}/`)
    for (const view of views) {
      const where = `${view || 'mesh'} ${name}`
      await visit(page, `/${view}`)
      await settled(page)
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      assert(wide <= 0, `${where} is ${wide} pixels too wide`)
      await accessible(page, where, rules)
      const file = `${(view || 'mesh').replace('-/', '').replaceAll('/', '-')}-${name}.png`
      await page.screenshot({ path: `${out}/${file}`, fullPage: true })
      assert.deepEqual(page.faults, [], where)
    }
    await page.context().close()
  }
  await Promise.all(kinds.map(walk))
  console.error('looked:', { pages: views.length * kinds.length })
}

const ask = async (what) => {
  console.log(what)
  const { value } = await answers.next()
  assert.equal(value, 'done')
}

const text = (page, selector) => page.locator(selector).first().innerText()

async function first() {
  const page = await open()
  const sizes = []
  page.on('response', async (response) => {
    const length = response.headers()['content-length']
    if (response.url().includes('/assets/') || response.url() === `${base}/`) sizes.push(Number(length))
  })
  await page.goto(`${base}/`)
  await page.locator('.project a').first().waitFor()
  const painted = await page.evaluate(
    () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
  )
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  assert(bytes > 0 && bytes < 60_000, `the first page took ${bytes} bytes`)
  // A test runs beside others: the bar is for a quiet machine, and `make screenshots` tells it.
  assert(painted !== null && painted < 3_000, `first content came after ${painted} ms`)
  console.error('first page:', { bytes, painted })
  // By keyboard: past the header, into the page, and on to a project.
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => location.pathname.length > 2)
  // The switch goes round, and is remembered.
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme ?? 'auto')
  const toggle = page.getByRole('button', { name: /Theme/ })
  await toggle.click()
  assert.equal(await theme(), 'light')
  await toggle.click()
  await page.reload()
  await toggle.waitFor()
  assert.equal(await theme(), 'dark')
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

/** What is there before any script, and that nothing jumps when the page takes its place. */
async function drawn() {
  const still = await open({ javaScriptEnabled: false })
  const whole = await open()
  const places = (page, selectors) =>
    page.evaluate((selectors) => selectors.map((selector) => {
      const { x, y, width, height } = document.querySelector(selector).getBoundingClientRect()
      return [selector, Math.round(x), Math.round(y), Math.round(width), Math.round(height)]
    }), selectors)
  const head = ['header.top', '.top nav', 'h1', 'main .lead']
  const project = [...head, '.facts', '.tabs']
  const pages = [
    ['', [...head, '.projects', '.projects .row:last-child', '.projects .row:last-child .metric .value']],
    ['-/backfills', ['header.top', '.top nav', 'h1']],
    ['reviews', project],
    ['names/quality', project],
    ['visits/lineage', project],
  ]
  for (const viewport of [{ width: 1280, height: 860 }, { width: 390, height: 844 }]) {
    await Promise.all([still.setViewportSize(viewport), whole.setViewportSize(viewport)])
    for (const [address, selectors] of pages) {
      await Promise.all([still.goto(`${base}/${address}`), whole.goto(`${base}/${address}`)])
      await settled(whole)
      assert.deepEqual(await places(still, selectors), await places(whole, selectors), `${address} at ${viewport.width}`)
      assert.equal(await still.title(), await whole.title())
      assert.deepEqual(await still.locator('.tabs a').allInnerTexts(), await whole.locator('.tabs a').allInnerTexts())
      assert.equal(await still.locator('.tabs [aria-current]').count(), await whole.locator('.tabs [aria-current]').count())
    }
  }
  await still.goto(`${base}/reviews/try`)
  assert((await text(still, '.lead')).includes('<b>bold</b><script>window.ran=1</script>'))
  assert.equal(await still.locator('main b, main script').count(), 0)
  assert((await text(still, 'noscript')).includes('JavaScript'))
  // What the page asks first came with it; nothing is asked twice.
  const asked = []
  whole.on('request', (request) => asked.push(new URL(request.url()).pathname))
  await goForm(whole, 'reviews/try', { asked })
  await whole.locator('[data-answer]').waitFor()
  assert.deepEqual(asked.filter((path) => path.startsWith('/api/')), [])
  // The icon is the browser's own to ask, again whenever the address gets what was typed.
  const once = asked.filter((path) => path !== '/reviews/v1/predict' && !path.endsWith('.svg'))
  assert.deepEqual(once.filter((path, at) => once.indexOf(path) !== at), [])
  assert.deepEqual([...still.faults, ...whole.faults], [])
  // An address of before leads where it did, and what nobody has is told.
  await whole.goto('about:blank')
  await whole.goto(`${base}/#/reviews/compare?one=1&two=2&text=usual`)
  await whole.locator('#compared').waitFor()
  assert.equal(await whole.locator('#compared').inputValue(), 'usual')
  assert.equal(await whole.evaluate(() => location.pathname), '/reviews/compare')
  whole.expected = true
  for (const address of ['reviews/nothing', '-/nothing', 'nobody', 'nobody/try']) {
    const reply = await whole.goto(`${base}/${address}`)
    assert.equal(reply.status(), 404, address)
    await whole.getByRole('heading', { name: 'Nothing is here' }).waitFor()
  }
  await Promise.all([still.context().close(), whole.context().close()])
}

/** What was typed stays where somebody goes, and an address is followed where one is. */
async function typed() {
  const page = await open()
  await page.goto(`${base}/reviews/try`)
  await page.locator('#text').fill('a lovely evening')
  await page.getByRole('link', { name: 'Side by side' }).click()
  await page.locator('#compared').waitFor()
  assert.equal(await page.locator('#compared').inputValue(), 'a lovely evening')
  await page.locator('#compared').fill('an awful evening')
  await page.getByRole('link', { name: 'How good is it' }).click()
  await page.getByRole('heading', { name: 'Metrics' }).waitFor()
  await page.getByRole('link', { name: 'Try it' }).click()
  await page.locator('#text').waitFor()
  assert.equal(await page.locator('#text').inputValue(), 'an awful evening')
  await page.waitForFunction(() => location.hash.includes('awful'))
  // Another link of the same project, in the same tab; and back.
  await page.goto(`${base}/reviews/try#text=great`)
  await page.waitForFunction(() => document.querySelector('#text')?.value === 'great')
  await page.goBack()
  await page.waitForFunction(() => document.querySelector('#text')?.value === 'an awful evening')
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

/** Holds what is loaded by some name until it is let go. */
async function held(page, name) {
  let release
  const released = new Promise((resolve) => (release = resolve))
  await page.route(name, async (route) => {
    await released
    await route.continue()
  })
  return release
}

/** A form that the server drew answers alone, and gives way to the whole page without a jump or a lost key. */
async function form() {
  const selectors = 'header.top, .top nav *, h1, .lead, .facts, .tabs, .tabs a, #text, .form > label, details, summary, ' +
    '.answer, [data-answer] li, [data-answer] h3, [data-answer] p, [data-answer] mark, .took, .examples, .examples *, .link, .link button, .code, .code *'
  const places = (page) =>
    page.evaluate((selectors) => [...document.querySelectorAll(selectors)].map((element) => {
      const { x, y, width, height } = element.getBoundingClientRect()
      // How long an answer took differs.
      const says = (element.innerText ?? '').replace(/answered in [\d.]+ \S+/, 'answered in')
      return [element.localName, says, ...[x, y + scrollY, width, height].map(Math.round)].join(' ')
    }), selectors)
  const isWhole = (page) => page.evaluate(() => document.querySelector('main').hasAttribute('tabindex'))
  const whole = (page) => page.waitForFunction(() => document.querySelector('main').hasAttribute('tabindex'))
  for (const viewport of [{ width: 1280, height: 860 }, { width: 390, height: 844 }]) {
    for (const project of ['sentiment', 'reviews', 'names']) {
      const page = await open({ viewport })
      const scripts = []
      page.on('request', (request) => {
        // The stream has its own.
        if (request.resourceType() === 'script' && !request.url().includes('worker')) scripts.push(request.url())
      })
      await goForm(page, `${project}/try`, { asked: scripts })
      await page.locator('#text').fill('It was lovely and great. It was awful, said Maria in Lima.')
      await page.locator(project === 'reviews' ? '[data-answer] li .name' : '[data-answer] mark').first().waitFor()
      await page.waitForFunction(() => location.hash.includes('Lima'))
      assert.equal(scripts.length, 1, `${scripts}`)
      assert.equal(await isWhole(page), false, project)
      if (viewport.width > 1000) await accessible(page, `${project}, its form`)
      await page.waitForTimeout(200)
      const before = await places(page)
      await page.screenshot({ path: `${out}/form-${project}-${viewport.width}.png`, fullPage: true })
      // The switch of the theme goes round to where it was, and moves nothing.
      const toggle = page.getByRole('button', { name: /Theme/ })
      await toggle.click()
      await whole(page)
      await page.waitForFunction(() => document.documentElement.dataset.theme === 'light')
      assert.equal(await page.evaluate(() => document.activeElement.className), 'theme')
      await toggle.click()
      await toggle.click()
      await page.waitForFunction(() => !document.documentElement.dataset.theme)
      await page.locator('[data-answer]').first().waitFor()
      await page.waitForTimeout(200)
      assert.deepEqual(await places(page), before, `${project} at ${viewport.width}`)
      assert.deepEqual(page.faults, [], project)
      await page.context().close()
    }
  }
  // What is typed before any script runs is answered, and an address of a text is not overwritten.
  const page = await open()
  let release = await held(page, '**/first-*.js')
  await goForm(page, 'reviews/try#text=awful', { waitUntil: 'commit' })
  await page.locator('#text').press('Control+End')
  await page.keyboard.type(' and lovely, great, the best')
  assert.equal(await page.locator('#text').inputValue(), 'awful and lovely, great, the best')
  release()
  await page.waitForFunction(() => document.querySelector('[data-answer] li .name')?.textContent.includes('great'))
  // Keys that are pressed while the whole page is on its way are there, and so is the place in the text.
  release = await held(page, '**/Try-*.js')
  await page.getByRole('button', { name: 'Python' }).click()
  await page.locator('#text').press('Home')
  await page.keyboard.type('so ')
  assert.equal(await isWhole(page), false)
  release()
  await whole(page)
  await page.keyboard.type('very ')
  assert.equal(await page.locator('#text').inputValue(), 'so very awful and lovely, great, the best')
  await page.waitForFunction(() => document.querySelector('.code pre').textContent.includes('"so very awful'))
  assert((await text(page, '.code pre')).startsWith('import requests'))
  await page.waitForFunction(() => location.hash.includes('so+very+awful'))
  // Each thing that can be done in it is done in the whole page.
  const does = [
    ['button', 'Raw answer', () => document.querySelector('.code pre').textContent.includes('"version": 1')],
    ['button', 'Copy link', () => document.querySelector('.link [role=status]').textContent === 'Copied'],
    ['link', 'Many at once', () => location.pathname === '/sentiment/many' && document.querySelector('input[type=file]')],
    ['link', 'ML Mesh', () => location.pathname === '/' && document.querySelector('.project a')],
    ['link', 'Skip to content', () => document.activeElement.id === 'main'],
  ]
  await page.context().grantPermissions(['clipboard-write', 'clipboard-read'])
  for (const [role, name, isDone] of does) {
    await goForm(page, 'sentiment/try')
    await page.locator('[data-answer]').waitFor()
    // By keyboard.
    await page.getByRole(role, { name }).first().press('Enter')
    await page.waitForFunction(isDone)
  }
  await goForm(page, 'sentiment/try')
  await page.locator('summary').first().click()
  await page.locator('.field textarea').first().waitFor()
  // A theme that was chosen is told.
  await page.evaluate(() => localStorage.setItem('mesh-theme', 'dark'))
  await goForm(page, 'reviews/try')
  await page.getByRole('button', { name: 'Theme: dark', exact: true }).waitFor()
  assert.equal(await isWhole(page), false)
  // An address that holds more is the whole page's, and so is one that is gone to.
  await page.goto(`${base}/sentiment/try#${new URLSearchParams({ text: 'lovely', p: '{"language":"en"}' })}`)
  await whole(page)
  await page.waitForFunction(() => location.hash.includes('language'))
  assert.deepEqual(page.faults, [])
  // Where the whole page cannot be had, what was typed stays, and that is told.
  page.expected = true
  await goForm(page, 'reviews/try#text=lovely')
  await page.locator('[data-answer]').waitFor()
  await page.route('**/shared-*.js', (route) => route.abort())
  await page.getByRole('button', { name: 'Python' }).click()
  // A newer mesh has other files, so once it is loaded anew.
  await page.waitForFunction(() => performance.getEntriesByType('navigation')[0].type === 'reload')
  await page.locator('[data-answer]').waitFor()
  await page.getByRole('button', { name: 'Python' }).click()
  await page.getByText('The mesh did not answer').waitFor()
  assert.equal(await page.locator('#text').inputValue(), 'lovely')
  await page.context().close()
}

async function labels() {
  const page = await open()
  await page.goto(`${base}/reviews`)
  await settled(page)
  const field = page.locator('#text')
  await field.fill('a lovely box, the best')
  await page.waitForFunction(() => document.querySelector('[data-answer] li .name')?.textContent.includes('great'))
  // From a key to a drawn answer.
  const times = []
  for (let at = 0; at < 10; at += 1) {
    times.push(
      await page.evaluate(async (at) => {
        const field = document.querySelector('#text')
        const started = performance.now()
        field.value = `awful and broken, number ${at}`
        field.dispatchEvent(new Event('input', { bubbles: true }))
        await new Promise((resolve) => {
          const seen = new MutationObserver(() => {
            seen.disconnect()
            requestAnimationFrame(resolve)
          })
          seen.observe(document.querySelector('.answer'), { subtree: true, childList: true, characterData: true, attributes: true })
        })
        return performance.now() - started
      }, at),
    )
  }
  times.sort((a, b) => a - b)
  console.error('key to answer:', { median: times[5], longest: times[9] })
  assert(times[5] < 1_000, `an answer took ${times[5]} ms`)
  // A label that is markup is text, and so is a text.
  await field.fill('awful, broken <img src=x onerror="window.ran=1"><script>window.ran=1</script>')
  await page.waitForFunction(() => document.querySelector('[data-answer] li .name')?.textContent.includes('onerror'))
  assert.equal(await page.evaluate(() => document.querySelectorAll('main img, main script').length), 0)
  assert.equal(await page.evaluate(() => window.ran), undefined)
  assert((await text(page, '.lead')).includes('<b>bold</b>'))
  // The address holds the text: whoever opens it sees the same.
  await page.waitForFunction(() => decodeURIComponent(location.hash).includes('onerror'))
  const link = page.url()
  const other = await page.context().newPage()
  await other.goto(link)
  await other.locator('[data-answer]').waitFor()
  assert((await other.locator('#text').inputValue()).includes('onerror="window.ran=1"'))
  assert.equal(await other.evaluate(() => window.ran), undefined)
  await other.close()
  // A million characters are answered, and not laid out; more than the service takes are refused.
  const put = (text, times) =>
    page.evaluate(async ([text, times]) => {
      const field = document.querySelector('#text')
      const started = performance.now()
      field.value = text.repeat(times)
      field.dispatchEvent(new Event('input', { bubbles: true }))
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
      return performance.now() - started
    }, [text, times])
  const laid = await put('awful and broken '.padEnd(20), 50_000)
  console.error('a million characters:', { laid })
  assert(laid < 2_000, `a million characters took ${laid} ms`)
  await page.getByText('too long for an address').waitFor()
  await page.getByText('The first 2,000 of 1,000,000 characters are shown').waitFor()
  await page.waitForFunction(() => document.querySelector('[data-answer] li .name')?.textContent.includes('onerror'))
  await put('lovely and great ', 65_000)
  await page.getByText('at most 1,048,576 bytes').waitFor()
  // What is pasted takes the place of a text that is too long to be changed.
  await page.evaluate(() => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', 'awful '.repeat(20_000))
    document.querySelector('#text').dispatchEvent(new ClipboardEvent('paste', { clipboardData, cancelable: true }))
  })
  await page.getByText('of 120,000 characters are shown').waitFor()
  await page.getByRole('button', { name: 'Empty it' }).click()
  await field.fill('lovely')
  await page.waitForFunction(() => document.querySelector('[data-answer] li .name')?.textContent.includes('great'))
  // An empty text is asked of nobody.
  await field.fill('')
  await page.getByText('Type, or choose an example').waitFor()
  await page.locator('.examples button').first().click()
  await page.locator('[data-answer]').waitFor()
  await page.getByRole('button', { name: 'Python' }).click()
  assert((await text(page, '.code pre')).includes('requests.post('))
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

async function tasks() {
  const page = await open()
  // Entities: after an emoji and between scripts of both directions, in two sentences.
  const written = '😀 Anna Weber met them in Oslo.\nמריה Maria left nobody in Lima.'
  await page.goto(`${base}/names#text=${encodeURIComponent(written)}`)
  await page.locator('[data-answer] mark bdi').first().waitFor()
  const marked = await page.locator('[data-answer] mark bdi').allInnerTexts()
  const told = await page.locator('[data-answer] table td:first-child').allInnerTexts()
  assert.deepEqual(marked, told)
  assert(marked.includes('Oslo') && marked.includes('Lima'), `${marked}`)
  // Sentiment, sentence by sentence.
  await page.goto(`${base}/sentiment#text=${encodeURIComponent('It was lovely and great. It was awful and terrible.')}`)
  await page.locator('mark.negative').waitFor()
  assert.equal(await page.locator('mark.positive').count(), 1)
  // Near-duplicates: what two texts share.
  const one = 'the central bank left its interest rates as they were on monday morning'
  const query = new URLSearchParams({ text: one, text2: `${one}, it said` })
  await page.goto(`${base}/lsh#${query}`)
  await page.getByText('of their signatures are the same').waitFor()
  assert.equal(await page.locator('.both mark').first().innerText(), one)
  await page.locator('#second').fill('nothing of the kind was ever written by anybody anywhere')
  await page.getByText('No near-duplicates').waitFor()
  // A vector and its nearest.
  await page.goto(`${base}/vectors#text=good`)
  await page.getByText('32 dimensions').waitFor()
  await page.getByText('Nearest of the examples').waitFor()
  // Numbers: a row of a series, then another field.
  await page.goto(`${base}/visits`)
  await page.locator('.chart path.accent[d^=M]').first().waitFor()
  const before = await text(page, '.told')
  await page.getByLabel('price').fill('9')
  await page.waitForFunction((before) => document.querySelector('.told').textContent !== before, before)
  assert.deepEqual(page.faults, [])
  // What nobody has is told, not thrown.
  page.expected = true
  await page.goto(`${base}/nothing-here`)
  await page.getByText('has no project').waitFor()
  await page.context().close()
}

async function quality() {
  const page = await open()
  await page.goto(`${base}/sentiment/quality`)
  await settled(page)
  const cell = page.locator('[aria-labelledby=confusion] button.good').first()
  const count = Number(await cell.innerText())
  await cell.click()
  await page.locator('.texts li').first().waitFor()
  assert.equal(await page.locator('.texts li').count(), Math.min(50, count))
  // A manifest chooses panels, their order, and words, which are text.
  await page.goto(`${base}/names/quality`)
  // The page before it had other panels.
  await page.waitForFunction(
    () => [...document.querySelectorAll('main h2')].map((h) => h.textContent.trim()).join() === 'Compiled targets,Metrics',
  )
  await page.goto(`${base}/names`)
  await page.locator('[data-answer]').waitFor()
  assert.equal(await text(page, 'label[for=text]'), 'Sentence <i>')
  assert.equal(await text(page, '.intro'), '<script>window.ran=1</script>')
  assert.equal(await page.locator('.code, .examples').count(), 0)
  assert.equal(await page.evaluate(() => window.ran), undefined)
  await page.goto(`${base}/reviews/lineage`)
  await settled(page)
  await page.getByRole('button', { name: /^model/ }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'card.json' }).click()
  await page.locator('.artifact pre').first().waitFor()
  assert((await text(page, '.artifact pre')).includes('"project"'))
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

async function many() {
  const page = await open({ acceptDownloads: true })
  await page.goto(`${base}/reviews/many`)
  const rows = Array.from({ length: 4_000 }, (_, at) => `${at},"a ${at % 2 ? 'lovely, great' : 'broken ""awful""'} box\nnumber ${at}"`)
  rows[10] = '10,""'
  rows[11] = '11,too,many'
  const buffer = Buffer.from(`\uFEFFid,text\r\n${rows.join('\r\n')}\r\n`)
  await page.locator('input[type=file]').setInputFiles({ name: 'boxes.csv', mimeType: 'text/csv', buffer })
  await page.getByRole('button', { name: 'Answer all rows' }).click()
  await page.getByText('4,000 rows in').waitFor()
  assert((await text(page, '.errors')).includes('Row 12'))
  assert((await text(page, '.errors')).includes('3 cells'))
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download the answers' }).click(),
  ])
  const csv = await readFile(await download.path(), 'utf8')
  assert(csv.startsWith('id,text,label,score,model_version,error\n'), csv.slice(0, 80))
  assert(csv.includes('"a broken ""awful"" box\nnumber 3998"'))
  assert.equal(csv.match(/\nnumber \d+"/g).length, 3_998)
  // Files as people have them.
  const odd = async (content, told) => {
    await page.locator('input[type=file]').setInputFiles({ name: 'odd.csv', mimeType: 'text/csv', buffer: Buffer.from(content) })
    await page.getByRole('button', { name: 'Answer all rows' }).click()
    await page.getByText(told).first().waitFor()
    const button = page.getByRole('button', { name: 'Download the answers' })
    if ((await button.count()) === 0) return ''
    const [download] = await Promise.all([page.waitForEvent('download'), button.click()])
    return readFile(await download.path(), 'utf8')
  }
  // Refused before anything is answered, in more than one piece; and columns that the answer has too.
  const late = await odd(`text,label\n${' ,x\n'.repeat(500)}lovely,y\n`, '501 rows in')
  const cells = late.trimEnd().split('\n').map((line) => line.split(',').length)
  assert(late.startsWith('text,label,answer_label,score,model_version,error\n'), late.slice(0, 80))
  assert.equal(new Set(cells.slice(0, 1).concat(cells.at(-1))).size, 1)
  assert.match(late.split('\n')[1], /^ ,x,,,,/)
  assert.match(late.trimEnd().split('\n').at(-1), /^lovely,y,great,/)
  assert((await odd(Buffer.from('\uFEFFtext;id\r\nlovely, café;1\r\n', 'utf16le'), '1 row in')).includes('"lovely, café",1,great'))
  assert((await odd(Buffer.from('id,text\r1,a lovely caf\xe9\r', 'latin1'), '1 row in')).includes('1,a lovely café,great'))
  assert((await odd('text,text\nlovely,awful\n', '1 row in')).includes('lovely,awful,great'))
  assert.equal(await page.locator('.column select option').count(), 2)
  assert.equal(await odd('id,text\n', 'This file has no rows'), '')
  assert((await odd('id,text\n1,lovely\n2,"great\n3,awful\n', '2 rows in')).includes('has no end'))
  // A cancelled one keeps what is done.
  const long = Buffer.from(`text\n${'lovely box\n'.repeat(100_000)}`)
  await page.locator('input[type=file]').setInputFiles({ name: 'long.csv', mimeType: 'text/csv', buffer: long })
  await page.getByRole('button', { name: 'Answer all rows' }).click()
  await page.getByText('100,000 rows in').waitFor()
  await page.getByRole('button', { name: 'Answer all rows' }).click()
  await page.waitForFunction(() => /[1-9][\d,]* rows answered/.test(document.querySelector('.progress')?.textContent ?? ''))
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('Stopped after').waitFor()
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

async function compare() {
  const page = await open()
  await page.goto(`${base}/reviews/versions`)
  await page.getByText('candidate').waitFor()
  await page.getByText('Canary and shadow traffic are not in this workspace yet').waitFor()
  await page.getByRole('link', { name: 'side by side with production' }).click()
  const field = page.locator('#compared')
  await field.fill('a usual box, as usual')
  const sides = page.locator('[data-compared]')
  await sides.nth(1).locator('li .name').first().waitFor()
  assert.deepEqual(await page.locator('.both select').evaluateAll((all) => all.map(({ value }) => value)), ['1', '2'])
  // Scores of the two differ: that is marked, and told.
  await page.locator('tr.differs mark').first().waitFor()
  await page.getByText('The first answers “so-so”, the second “great”').waitFor()
  // The address holds both sides and the text.
  await page.waitForFunction(() => /one=1&two=2&text=a\+usual/.test(location.hash))
  const other = await page.context().newPage()
  await other.goto(page.url())
  await other.locator('tr.differs mark').first().waitFor()
  assert.equal(await other.locator('#compared').inputValue(), 'a usual box, as usual')
  await other.close()
  // A version beside itself is the same.
  await page.locator('.both select').nth(1).selectOption('1')
  await page.getByText('Both answer the same').waitFor()
  assert.equal(await page.locator('tr.differs').count(), 0)
  // One that there never was, and one that is gone while it is compared.
  page.expected = true
  await page.goto(`${base}/visits/compare#one=1&two=77`)
  await page.getByText('there is no version 77').waitFor()
  await page.goto(`${base}/reviews/compare#one=1&two=2&text=usual`)
  await page.locator('tr.differs mark').first().waitFor()
  await ask('forget')
  await page.locator('#compared').fill('lovely and awful')
  await page.getByText('there is no version 2; it may have been deleted').waitFor()
  await sides.nth(0).locator('li .name').first().waitFor()
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

async function backfills() {
  const page = await open()
  await page.goto(`${base}/`)
  await page.getByRole('link', { name: 'Backfills' }).first().click()
  await page.getByRole('link', { name: 'Backfill 2 of mail' }).click()
  await page.getByText('done, not live').waitFor()
  await page.getByText('2,001 of 2,001 documents').waitFor()
  await page.getByRole('heading', { name: 'Rejected: 1' }).waitFor()
  assert.equal(await text(page, '.rejects td'), 'empty')
  await page.getByText('What changes in reviews').waitFor()
  // A key that is wrong is refused and asked for again; what is moved is told.
  page.expected = true
  const key = page.getByLabel('Admin key')
  await key.fill('a key of somebody else')
  await page.getByRole('button', { name: 'Make it live' }).click()
  await page.getByText('this is not the admin key').waitFor()
  page.expected = false
  assert.equal(await key.inputValue(), '')
  await key.fill('an admin key of some length')
  await page.getByRole('button', { name: 'Make it live' }).click()
  await page.getByRole('status').getByText('Readers of mail see it now').waitFor()
  await page.getByRole('button', { name: 'Roll back' }).click()
  await page.getByRole('status').getByText('Readers of mail see what was live before.').waitFor()
  assert.equal(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]).includes('some length')), false)
  // One that runs is seen to run, and to end.
  await ask('backfill')
  await page.goto(`${base}/-/backfills`)
  await page.getByRole('link', { name: 'Backfill 3 of mail' }).click()
  await page.getByText('documents per second').waitFor()
  await page.getByText('left').first().waitFor()
  await page.getByText('done, not live').waitFor()
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

/** Panels of every kind, as a project in Rust may give them, with what people write in them. */
async function panels() {
  const page = await open()
  await page.goto(`${base}/lsh`)
  // Those that `lsh` really has, in the order of its manifest, and its words.
  await page.waitForFunction(() => document.querySelectorAll('.answer h3').length === 3)
  const heads = await page.locator('.answer h2, .answer h3').allInnerTexts()
  assert.deepEqual(heads, ['Near-duplicates?', 'Signature', 'How alike texts must be', 'Runs of words'])
  assert((await text(page, '.examples li')).startsWith('The central bank left'))
  await page.getByText('Put in two texts').waitFor()
  const told = (name, kind, rest) => ({ name, title: `<b>${kind}</b>`, note: 'a note', kind, ...rest })
  const script = '<script>window.ran=1</script>'
  const drawn = [
    told('likeness', 'spans', {
      text: `😀 שלום world ${script}`,
      spans: [{ start: 2, end: 6, label: script }, { start: 7, end: 12, label: 'second' }, { start: 900, end: 999, label: 'outside' }],
    }),
    told('shingles', 'graph', { nodes: ['a', 'b', script], edges: [{ from: 'a', to: 'b' }, { from: 'b', to: 'a' }, { from: 'b', to: script }] }),
  ]
  const more = [
    told('likeness', 'bars', { bars: [{ name: script, value: 3 }, { name: 'b', value: 1.5 }] }),
    told('shingles', 'matrix', { rows: ['a', 'b'], columns: ['x', script], values: [[1, 0], [0.25, 2]] }),
  ]
  const last = [
    told('likeness', 'line', { points: ['mon', 'tue', 'wed'], lines: [{ name: script, values: [1, null, 3] }], place: 2 }),
    told('shingles', 'text', { text: `one\n${script}` }),
  ]
  for (const answer of [drawn, more, last]) {
    await page.route('**/panels', (route) => route.fulfill({ json: { version: 1, panels: answer } }))
    await page.locator('#text').fill(`asked again, ${answer[0].kind}`)
    await page.waitForFunction((kind) => [...document.querySelectorAll('.answer h3')].some((head) => head.textContent === `<b>${kind}</b>`), answer[1].kind)
    await accessible(page, `panels ${answer[0].kind}`)
    const marks = await page.locator('.answer section mark bdi').allInnerTexts()
    if (answer === drawn) assert.deepEqual(marks, ['שלום', 'world'])
    await page.screenshot({ path: `${out}/panels-${answer[0].kind}.png`, fullPage: true })
    await page.unroute('**/panels')
  }
  assert.equal(await page.evaluate(() => window.ran), undefined)
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

/** Two hundred tabs, many more than a browser has connections to one server: all are live, and answered. */
async function tabs() {
  const context = (await open({ viewport: { width: 320, height: 240 } })).context()
  const all = []
  for (let more = 0; more < 200; more += 20) {
    const some = await Promise.all(Array.from({ length: 20 }, () => context.newPage()))
    await Promise.all(some.map((tab, at) => tab.goto(`${base}/reviews/${at % 10 ? 'versions' : 'try#text=lovely'}`)))
    all.push(...some)
  }
  await Promise.all(all.map((tab) => tab.locator('[data-answer], td.version').first().waitFor()))
  await ask('count')
  for (const tab of [all[0], all[199]]) {
    await visit(tab, '/')
    await tab.waitForFunction(() => document.querySelector('.rps svg path')?.getAttribute('d').includes('L'))
  }
  await context.close()
}

/** A project without a model says so, and answers as soon as it has one. */
async function late() {
  const page = await open()
  await page.goto(`${base}/late/try`)
  await page.getByText('No model of late is loaded').waitFor()
  await ask('run')
  await page.locator('[data-answer] li .name').first().waitFor()
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

async function outage() {
  const page = await open()
  await page.goto(`${base}/`)
  await page.locator('.project a').first().waitFor()
  await page.waitForFunction(() => document.querySelector('.rps svg path')?.getAttribute('d') !== '')
  const other = await open()
  await goForm(other, 'reviews/try')
  await other.locator('[data-answer]').waitFor()
  await ask('kill')
  page.expected = true
  other.expected = true
  await page.getByText('The mesh does not answer').waitFor()
  // A form says so too, keeps what is typed, and answers it by itself.
  await other.getByText('The mesh does not answer').waitFor()
  await other.locator('#text').fill('awful and broken')
  await other.getByText('The mesh did not answer').waitFor()
  await ask('start')
  await other.waitForFunction(() => !/The mesh d/.test(document.body.innerText))
  await other.waitForFunction(() => document.querySelector('[data-answer] li .name')?.textContent.includes('onerror'))
  assert.equal(await other.evaluate(() => document.querySelector('main').hasAttribute('tabindex')), false)
  await other.context().close()
  await page.waitForFunction(() => !document.body.innerText.includes('The mesh does not answer'))
  page.expected = false
  page.faults.length = 0
  await page.getByRole('link', { name: 'reviews', exact: true }).first().click()
  await page.locator('[data-answer]').waitFor()
  assert.deepEqual(page.faults, [])
  await page.context().close()
}

/** Pages that were taken away, from the folder that they are in: nothing is asked of anybody. */
async function exported() {
  const page = await open({ offline: true })
  const opened = async (project, ...parts) => {
    await page.goto(`${base}${project}.html`)
    await page.locator('[data-answer], main .answer').first().waitFor()
    for (const part of parts) await page.getByText(part).first().waitFor()
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert(wide <= 0, `${project} is ${wide} pixels too wide`)
    await accessible(page, `${project} taken away`)
    await page.screenshot({ path: `${out}/exported-${project}.png`, fullPage: true })
    assert.deepEqual(page.faults, [], project)
  }
  await opened('lsh', 'Signature')
  await opened('names', 'entity F1', 'portable-f32')
  await opened('sentiment', 'positive', 'Confusion')
  await opened('vectors', 'Nearest of the examples')
  await opened('visits', 'what happened', 'mean absolute error')
  await opened('reviews', 'macro-F1', 'Confusion', 'Where it is from')
  assert((await text(page, '.lead')).includes('<b>bold</b>'))
  // An example is chosen, and a cell is opened.
  await page.locator('main li button').nth(2).click()
  await page.locator('main .answer li .name').first().waitFor()
  const cell = page.locator('[aria-labelledby=confusion] button.good').first()
  await cell.click()
  await page.locator('.texts li').first().waitFor()
  // Another script has no leave to run.
  page.expected = true
  await page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'window.ran = 1'
    document.body.append(script)
  })
  assert.equal(await page.evaluate(() => window.ran), undefined)
  await page.context().close()
}

/** What needs the server as it is goes side by side; what changes it comes behind. */
async function useAll() {
  const uses = (all) => all.filter((use) => !only || only === use.name)
  const lane = async (all) => {
    for (const use of uses(all)) await timed(use)
  }
  await timed(warm)
  await Promise.all([lane([drawn, many, tasks, typed]), lane([labels, form, quality, panels, first])])
  await lane([late, backfills, compare, outage])
}

/** A browser that was just started is slow with its first page, whichever it is. */
async function warm() {
  const page = await open()
  await page.goto(`${base}/`)
  await page.context().close()
}

async function timed(use) {
  const started = performance.now()
  await use()
  console.error(`${use.name}: ${Math.round(performance.now() - started)} ms`)
}

await mkdir(out, { recursive: true })
try {
  if (what === 'look') await look()
  else if (what === 'exported') await exported()
  else if (what === 'tabs') await timed(tabs)
  else await useAll()
} finally {
  await browser.close()
}
process.exit(0)
