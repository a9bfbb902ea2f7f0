// A Debian root with Debian's nginx package: made into an image, pushed to a registry, pulled by a container runtime and served from a pod. Needs root.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { scene, until } from '../cri/scene.js'
import { needs, openStore, startRegistry } from './fixture.js'

t.setTimeout(300_000)

const PACKAGES = ['base-files', 'base-passwd', 'dash', 'nginx-light']

/** Those packages and all that they need, as far as they are installed here. */
function withDependencies(wanted: readonly string[]): ReadonlySet<string> {
  const fields = ['Package', 'Pre-Depends', 'Depends', 'db:Status-Status'].map((name) => `\${${name}}`)
  const needed = new Map<string, readonly string[]>()
  for (const line of execFileSync('dpkg-query', ['-W', '-f', `${fields.join('\\t')}\\n`], { encoding: 'utf8' }).split('\n')) {
    const [name = '', before = '', depends = '', status = ''] = line.split('\t')
    const names = `${before},${depends}`.split(/[,|]/).flatMap((each) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(each)?.[1] ?? [])
    if (status === 'installed') needed.set(name, names)
  }
  const found = new Set<string>()
  const add = (name: string): void => {
    const next = needed.get(name)
    if (!next || found.has(name)) return
    found.add(name)
    for (const each of next) add(each)
  }
  for (const name of wanted) add(name)
  return found
}

/** Their files, and what their installation does beside: accounts, the site, the page. */
function debianRoot(root: string): void {
  mkdirSync(root)
  const files = execFileSync('dpkg', ['-L', ...withDependencies(PACKAGES)], { encoding: 'utf8', maxBuffer: 2 ** 26 }).split('\n')
  const kept = files.filter((path) => /^\/[^.]/.test(path) && !/^\/usr\/share\/(doc|man|locale|info|perl|zoneinfo)\//.test(path))
  const list = `${root}.files`
  writeFileSync(list, [...new Set(kept.map((path) => path.slice(1)))].join('\n'))
  // /bin and its like are links on a merged machine, and must be there before what goes below them.
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(root, name))
  }
  const pack = `tar -C / --no-recursion --ignore-failed-read -cf - -T ${list} | tar -C ${root} --keep-directory-symlink -xf -`
  execFileSync('sh', ['-c', pack], { stdio: 'pipe' })
  for (const name of ['passwd', 'group']) copyFileSync(join(root, 'usr/share/base-passwd', `${name}.master`), join(root, 'etc', name))
  mkdirSync(join(root, 'var/www/html'), { recursive: true })
  copyFileSync(join(root, 'usr/share/nginx/html/index.html'), join(root, 'var/www/html/index.html'))
  for (const name of ['etc/nginx/sites-enabled', 'var/log/nginx', 'var/lib/nginx', 'run', 'tmp'])
    mkdirSync(join(root, name), { recursive: true })
  symlinkSync('/etc/nginx/sites-available/default', join(root, 'etc/nginx/sites-enabled/default'))
}

t.test(
  "an image of Debian's nginx is pulled, unpacked and serves",
  { skip: needs('docker-registry', 'dpkg', 'nginx', 'tar'), timeout: 300_000 },
  async (t) => {
    // First: it takes this process into a network of its own, and the registry must be there too.
    const s = await scene()
    const { cri, close } = await s.open()
    t.teardown(async () => {
      close()
      await s.end()
    })
    const { host } = await startRegistry(t)
    const name = `${host}/debian/nginx:v1`
    const root = join(s.dir, 'debian')
    debianRoot(root)
    const maker = openStore(t, join(s.dir, 'maker'))
    const runs = { Cmd: ['nginx', '-g', 'daemon off;'], Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] }
    await maker.import(root, { name, config: runs, compression: 'none' })
    await maker.push(name)

    const { imageRef } = await cri.pullImage({ image: { image: name } })
    const config = s.pod('web')
    const { podSandboxId } = await cri.runPodSandbox({ config })
    const nginx = { metadata: { name: 'nginx' }, image: { image: imageRef }, logPath: 'nginx.log' }
    const { containerId } = await cri.createContainer({ podSandboxId, sandboxConfig: config, config: nginx })
    await cri.startContainer(containerId)
    const { ip } = (await cri.podSandboxStatus(podSandboxId)).status.network
    const response = await until(async () => {
      const { status } = await cri.containerStatus(containerId)
      if (status.state === 'CONTAINER_EXITED') throw new Error(`nginx ended with ${status.exitCode}`)
      return fetch(`http://${ip}/`).catch(() => undefined)
    })
    t.match(response.headers.get('server'), /^nginx\//)
    t.match(await response.text(), /Welcome to nginx!/)
    const release = await cri.execSync(containerId, ['sh', '-c', '. /etc/os-release; echo $ID'])
    t.equal(String(release.stdout), 'debian\n', 'in a Debian root')
  },
)
