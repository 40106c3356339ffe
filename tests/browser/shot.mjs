import { chromium } from 'playwright-core'
const [base, out, ...views] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
for (const view of views) {
  for (const [name, theme, size] of [['light','light',{width:1280,height:860}],['dark','dark',{width:1280,height:860}],['phone','light',{width:390,height:844}]]) {
    if (process.env.ONLY && process.env.ONLY !== name) continue
    const context = await browser.newContext({ colorScheme: theme, viewport: size })
    const page = await context.newPage()
    page.on('console', (m) => ['error','warning'].includes(m.type()) && console.log(view, name, m.text()))
    page.on('pageerror', (e) => console.log(view, name, 'PAGEERROR', e.message))
    await page.goto(`${base}/${view}`)
    await page.waitForTimeout(1800)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (overflow > 0) console.log(view, name, 'overflows by', overflow)
    await page.screenshot({ path: `${out}/${view.replace(/[^a-z0-9-]+/gi, '_')}-${name}.png`, fullPage: true })
    await context.close()
  }
}
await browser.close()
