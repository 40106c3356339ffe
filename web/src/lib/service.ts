// What a service is asked, and what it answers: all that somebody needs who types.

import { first } from './texts.first'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Fields = Record<string, Json>

/** A service, as a question needs to know it. */
export interface Asked {
  project: string
  api: number
  max_body_bytes: number
}

export interface FieldError {
  loc: string[]
  msg: string
  type: string
}

/** A request that was not answered: RFC 9457, or no answer at all (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    readonly title: string,
    readonly detail: string,
    readonly errors: FieldError[] = [],
  ) {
    super(detail || title)
  }

  static async of(response: Response): Promise<Problem> {
    try {
      const told = (await response.json()) as Record<string, unknown>
      const kind = String(told.type ?? '').replace('urn:mesh:problem:', '')
      return new Problem(
        response.status,
        kind,
        String(told.title ?? ''),
        String(told.detail ?? ''),
        (told.errors as FieldError[] | undefined) ?? [],
      )
    } catch {
      return new Problem(response.status, 'unknown', response.statusText, '')
    }
  }
}

export async function send(url: string, options: RequestInit = {}): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, options)
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw new Problem(0, 'unreachable', '', '')
  }
  if (!response.ok) throw await Problem.of(response)
  return response
}

export function service({ project, api }: Asked): string {
  return `/${project}/v${api}`
}

export interface Answer {
  prediction: Fields
  raw: string
  milliseconds: number
  version: number | null
  tokens: number | null
  longText: string | null
}

/** The body of a request, as everybody sends it. */
export function body(project: string, attributes: Fields, parameters: Fields): Fields {
  const data: Fields = { namespace: project, attributes }
  if (Object.keys(parameters).length > 0) data.parameters = parameters
  return { data }
}

export async function question(
  asked: Asked,
  attributes: Fields,
  parameters: Fields = {},
  signal?: AbortSignal,
): Promise<Answer> {
  const started = performance.now()
  const content = new Blob([JSON.stringify(body(asked.project, attributes, parameters))])
  // The service would close the connection before it has all of it.
  if (content.size > asked.max_body_bytes) {
    throw new Problem(413, 'too-large', first.tooLarge, first.atMost(asked.max_body_bytes))
  }
  const response = await send(`${service(asked)}/predict`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: content,
    signal,
  })
  const raw = await response.text()
  const milliseconds = performance.now() - started
  const told = JSON.parse(raw) as { data: { attributes: Fields } }
  const number = (name: string) => {
    const value = response.headers.get(name)
    return value === null ? null : Number(value)
  }
  return {
    prediction: told.data.attributes,
    raw,
    milliseconds,
    version: number('x-mesh-model-version'),
    tokens: number('x-mesh-tokens'),
    longText: response.headers.get('x-mesh-long-text'),
  }
}
