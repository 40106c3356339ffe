/**
 * Ends once what the server drew was shown: whatever is done before, it waits for. Of a tab that nobody
 * sees, at once.
 */
export function shown(): Promise<void> {
  return new Promise((resolve) => {
    if (document.hidden) resolve()
    else requestAnimationFrame(() => setTimeout(resolve))
  })
}
