import t from 'tap'
import { shiftId } from './shift-owners.js'

t.test('ids within the map are shifted, others stay', async (t) => {
  const maps = [{ containerId: 0, hostId: 100_000, length: 1000 }]
  t.strictSame(
    [0, 999, 1000].map((id) => shiftId(id, maps)),
    [100_000, 100_999, 1000],
  )
})
