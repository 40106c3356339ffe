// Opens so many live pages' streams, and says when each has had a tick; ends when asked.

import { connect } from 'node:net'

const [address, wanted] = process.argv.slice(2)
const [host, port] = address.split(':')
let alive = 0
for (let page = 0; page < Number(wanted); page += 1) {
  const socket = connect({ host, port: Number(port) }, () =>
    socket.write(`GET /api/v1/live HTTP/1.1\r\nhost: ${address}\r\n\r\n`),
  )
  let ticked = false
  socket.on('data', (data) => {
    if (ticked || !data.includes('event: tick')) return
    ticked = true
    alive += 1
    if (alive === Number(wanted)) console.log('ticked')
  })
  socket.on('error', (error) => {
    console.error(String(error))
    process.exit(1)
  })
}
process.stdin.on('data', () => process.exit(0))
