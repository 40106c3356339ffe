// CSV as RFC 4180 has it, read a piece at a time: no file is ever held whole.

export class CsvReader {
  #row: string[] = []
  #cell = ''
  #quoted = false
  /** A quote was read inside quotes: it ends them, unless another follows. */
  #pending = false
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
      if (character === '"' && this.#cell === '') this.#quoted = true
      else if (character === separator) this.#end()
      else if (character === '\n') {
        this.#end()
        this.#take(rows)
      } else if (character !== '\r') this.#cell += character
    }
    return rows
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
  const header = piece.split('\n', 1)[0] ?? ''
  const count = (separator: string) => header.split(separator).length
  return [',', ';', '\t'].reduce((best, next) => (count(next) > count(best) ? next : best))
}

/** A line of CSV. What a spreadsheet would take for a formula stays as it is: it is data. */
export function line(cells: string[]): string {
  const quoted = cells.map((cell) =>
    /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell,
  )
  return `${quoted.join(',')}\n`
}
