import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type Plugin } from 'vite'

/** Writes the Brotli form of every file beside it: it is compressed once, here. */
function brotli(): Plugin {
  let folder = ''
  return {
    name: 'brotli',
    configResolved(config) {
      folder = config.build.outDir
    },
    async closeBundle() {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue
        const path = join(entry.parentPath, entry.name)
        const content = await readFile(path)
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11 }
        await writeFile(`${path}.br`, brotliCompressSync(content, { params }))
      }
    },
  }
}

/** What runs first, and is all that a form needs while one types. */
const FIRST =
  /src.(first|draw.[a-z]+|lib.(address|form|numbers|service|shown|snippets|spans|stream|texts\.first))\.ts|preload-helper/

/** What every whole page needs is one file: each file that is loaded takes its time. */
const SHARED =
  /node_modules|src.whole\.ts|src.lib.(api|format|live\.svelte|pages\.svelte|record|route\.svelte|texts|told)\.ts|words\.json|src.parts.(Bars|Mark|Marked|Steps|Theme|Trouble)\.svelte|src.pages.Project\.svelte|src.App\.svelte/

/** The page, and with `--mode export` the one script and the one style of a page that is taken away. */
export default defineConfig(({ mode }) => ({
  plugins: [svelte(), ...(mode === 'export' ? [] : [brotli()])],
  build: {
    target: 'es2022',
    // An inlined file would need a policy that allows inline data.
    assetsInlineLimit: 0,
    cssCodeSplit: mode !== 'export',
    // The server reads which files a page needs.
    manifest: mode === 'export' ? false : 'manifest.json',
    modulePreload: mode === 'export' ? false : { polyfill: false },
    rolldownOptions:
      mode === 'export'
        ? {
            input: 'src/exported.ts',
            // What would preload files looks for them here; there are none.
            transform: { define: { 'import.meta': '{}' } },
            output: {
              format: 'iife' as const,
              codeSplitting: false,
              entryFileNames: 'exported.js',
              assetFileNames: 'exported[extname]',
            },
          }
        : {
            output: {
              codeSplitting: { groups: [{ name: 'first', test: FIRST }, { name: 'shared', test: SHARED }] },
              entryFileNames: 'assets/show/[name]-[hash].js',
              chunkFileNames: 'assets/show/[name]-[hash].js',
              assetFileNames: 'assets/show/[name]-[hash][extname]',
            },
          },
  },
  worker: {
    format: 'es' as const,
    rolldownOptions: { output: { entryFileNames: 'assets/show/[name]-[hash].js' } },
  },
  server: { proxy: { '^/(api|[a-z0-9-]+/v\\d+)/': 'http://127.0.0.1:8080' } },
}))
