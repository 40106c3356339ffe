// Takes the picture of the README: the mesh at a glance while some traffic goes through it.
// Arguments: the address of the mesh, and the file, which is WebP.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'

const [base, file] = process.argv.slice(2)
const SECONDS = 62
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
assert(executablePath, 'no Chromium')
const { projects } = await (await fetch(base)).json()

/** Asks a project its own sample, now and then: each at its own pace, which rises and falls. */
async function ask({ predict, openapi }, at) {
  const document = await (await fetch(base + openapi)).json()
  const body = JSON.stringify(document.components.schemas.PredictRequest.examples[0])
  const headers = { 'content-type': 'application/json' }
  const started = performance.now()
  for (;;) {
    const seconds = (performance.now() - started) / 1000
    if (seconds > SECONDS) return
    await (await fetch(base + predict, { method: 'POST', headers, body })).arrayBuffer()
    const pace = 4 + 3 * Math.sin(seconds / (5 + at) + at)
    await new Promise((resolve) => setTimeout(resolve, 1000 / (pace * (1 + (at * 7) % 5))))
  }
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const page = await browser.newPage({ viewport: { width: 1180, height: 860 }, colorScheme: 'light' })
await page.goto(base)
const traffic = Promise.all(projects.map(ask))
await page.waitForTimeout((SECONDS - 1) * 1000)
const png = await page.screenshot({ fullPage: true })
// Chromium writes WebP from a canvas, and its screenshots are larger.
const sheet = await browser.newPage()
const webp = await sheet.evaluate(async (png) => {
  const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob())
  const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height })
  canvas.getContext('2d').drawImage(bitmap, 0, 0)
  return canvas.toDataURL('image/webp', 0.9).split(',')[1]
}, png.toString('base64'))
await writeFile(file, Buffer.from(webp, 'base64'))
await browser.close()
await traffic
