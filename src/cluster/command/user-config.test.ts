import t from 'tap'
import { person } from './user-config.js'

const passwd = 'root:x:0:0:root:/root:/bin/bash\njane:x:1000:1001:Jane,,,:/home/jane:/bin/bash\n'

t.test('under sudo it is who called it', async (t) => {
  t.same(person({ SUDO_UID: '1000' }, passwd), { home: '/home/jane', uid: 1000, gid: 1001 })
  t.equal(person({ SUDO_UID: '4711' }, passwd).uid, process.getuid?.())
  t.equal(person({}, passwd).uid, process.getuid?.())
})
