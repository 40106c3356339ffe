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

/** The page, and with `--mode export` the one script and the one style of a page that is taken away. */
export default defineConfig(({ mode }) => ({
  plugins: [svelte(), ...(mode === 'export' ? [] : [brotli()])],
  build: {
    target: 'es2022',
    // An inlined file would need a policy that allows inline data.
    assetsInlineLimit: 0,
    cssCodeSplit: mode !== 'export',
    modulePreload: { polyfill: false },
    rolldownOptions:
      mode === 'export'
        ? {
            input: 'src/exported.ts',
            output: {
              format: 'iife' as const,
              codeSplitting: false,
              entryFileNames: 'exported.js',
              assetFileNames: 'exported[extname]',
            },
          }
        : {
            output: {
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
