// What is drawn while one types is drawn without a framework: it is there before one is loaded, and
// the whole page draws it with the same functions. Texts become text nodes, never markup.

type Part = Node | string

/** An element with a class and what is in it. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  classes = '',
  ...parts: Part[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name)
  if (classes) made.className = classes
  made.append(...parts)
  return made
}

/** An element with a text that people wrote, in whichever direction it runs. */
export function written<K extends keyof HTMLElementTagNameMap>(
  name: K,
  classes: string,
  ...parts: Part[]
): HTMLElementTagNameMap[K] {
  const made = element(name, classes, ...parts)
  made.dir = 'auto'
  return made
}
