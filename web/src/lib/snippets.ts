import { body, service, type Asked, type Fields } from './service'

/** A shell takes everything between single quotes as it is, but for a single quote. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

export function curl(project: Asked, attributes: Fields, parameters: Fields): string {
  const url = `${location.origin}${service(project)}/predict`
  const data = JSON.stringify(body(project.project, attributes, parameters))
  return `curl -s ${url} \\\n  -H 'content-type: application/json' \\\n  -d ${quoted(data)}`
}

function literal(value: unknown, indent: string): string {
  if (value === null) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (Array.isArray(value)) {
    return value.length === 0 ? '[]' : `[${value.map((part) => literal(part, indent)).join(', ')}]`
  }
  if (typeof value === 'object') {
    const inner = `${indent}    `
    const parts = Object.entries(value as object).map(
      ([key, part]) => `${inner}${JSON.stringify(key)}: ${literal(part, inner)},\n`,
    )
    return parts.length === 0 ? '{}' : `{\n${parts.join('')}${indent}}`
  }
  // JSON's strings are Python's too.
  return JSON.stringify(value)
}

export function python(project: Asked, attributes: Fields, parameters: Fields): string {
  const url = `${location.origin}${service(project)}/predict`
  return `import requests

answer = requests.post(
    "${url}",
    json=${literal(body(project.project, attributes, parameters), '    ')},
)
answer.raise_for_status()
print(answer.json()["data"]["attributes"])`
}
