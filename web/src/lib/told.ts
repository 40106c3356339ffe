// What the server wrote into the page beside it: what the API would tell at some addresses. Each is
// read once; whoever asks again wants to know what is now.

const told = read()

function read(): Record<string, unknown> {
  const text = typeof document === 'undefined' ? null : document.getElementById('told')?.textContent
  return text ? (JSON.parse(text) as Record<string, unknown>) : {}
}

export function takeTold(url: string): unknown {
  const found = told[url]
  delete told[url]
  return found
}
