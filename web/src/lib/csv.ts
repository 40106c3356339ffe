// CSV as RFC 4180 has it, read a piece at a time: no file is ever held whole.

export class CsvReader {
  #row: string[] = []
  #cell = ''
  #quoted = false
  /** A quote was read inside quotes: it ends them, unless another follows. */
  #pending = false
  /** A carriage return ended a row: a line feed behind it is of the same end. */
  #returned = false
  #separator: string | null
  #started = false

  constructor(separator: string | null = null) {
    this.#separator = separator
  }

  /** The rows that end in this piece. */
  push(piece: string): string[][] {
    const rows: string[][] = []
    if (!this.#started) {
      this.#started = true
      if (piece.startsWith('\uFEFF')) piece = piece.slice(1)
    }
    // What parts cells is what the header has most of.
    this.#separator ??= guess(piece)
    const separator = this.#separator
    for (const character of piece) {
      if (this.#quoted) {
        if (this.#pending) {
          this.#pending = false
          if (character === '"') {
            this.#cell += '"'
            continue
          }
          this.#quoted = false
        } else if (character === '"') {
          this.#pending = true
          continue
        } else {
          this.#cell += character
          continue
        }
      }
      const returned = this.#returned
      this.#returned = character === '\r'
      if (character === '"' && this.#cell === '') this.#quoted = true
      else if (character === separator) this.#end()
      else if (character === '\r' || (character === '\n' && !returned)) {
        this.#end()
        this.#take(rows)
      } else if (character !== '\n') this.#cell += character
    }
    return rows
  }

  /** Whether the last quote has no end: what is behind it was taken for one cell. */
  get unclosed(): boolean {
    return this.#quoted && !this.#pending
  }

  /** The row that no line break ended. */
  finish(): string[][] {
    const rows: string[][] = []
    this.#quoted = false
    this.#pending = false
    if (this.#cell !== '' || this.#row.length > 0) {
      this.#end()
      this.#take(rows)
    }
    return rows
  }

  #end() {
    this.#row.push(this.#cell)
    this.#cell = ''
  }

  #take(rows: string[][]) {
    if (this.#row.length > 1 || this.#row[0] !== '') rows.push(this.#row)
    this.#row = []
  }
}

function guess(piece: string): string {
  const header = piece.split(/[\r\n]/, 1)[0] ?? ''
  const count = (separator: string) => header.split(separator).length
  return [',', ';', '\t'].reduce((best, next) => (count(next) > count(best) ? next : best))
}

/** How a file is written: as its first bytes say, else UTF-8 if all of it is, else as Windows does. */
export async function encoding(file: Blob): Promise<string> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  if (first === 0xfe && second === 0xff) return 'utf-16be'
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    const reader = file.stream().getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      decoder.decode(value, { stream: true })
    }
    decoder.decode()
    return 'utf-8'
  } catch {
    return 'windows-1252'
  }
}

/** A line of CSV. What a spreadsheet would take for a formula stays as it is: it is data. */
export function line(cells: string[]): string {
  const quoted = cells.map((cell) =>
    /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell,
  )
  return `${quoted.join(',')}\n`
}
