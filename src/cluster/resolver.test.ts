import t from 'tap'
import { nodeResolvConf } from './resolver.js'

t.test('the servers behind a stub on loopback are taken, where there are some', async (t) => {
  const found = (etc: string | undefined, behind?: string): string => nodeResolvConf((path) => (path === '/etc/resolv.conf' ? etc : behind))
  const stub = 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n'
  t.equal(found(stub, '# real\nnameserver 10.0.0.2\n'), '/run/systemd/resolve/resolv.conf')
  t.equal(found(stub), '/etc/resolv.conf', 'a stub of another kind')
  t.equal(found(stub, ''), '/etc/resolv.conf')
  t.equal(found(stub, 'nameserver 127.0.0.1\n'), '/etc/resolv.conf')
  t.equal(found('nameserver 10.0.0.9\nnameserver 127.0.0.53\n', 'nameserver 10.0.0.2\n'), '/etc/resolv.conf', 'one that pods reach')
  t.equal(found(undefined, 'nameserver 10.0.0.2\n'), '/etc/resolv.conf')
})
