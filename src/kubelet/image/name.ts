// Names of images as people write them.

/** `nginx` is `nginx:latest`; a name with tag or digest stays. Throws when it is no name at all. */
export function withDefaultTag(image: string): string {
  if (!/^[a-z0-9][A-Za-z0-9._:/@-]*$/.test(image) || /\/\/|[:@/]$/.test(image) || !repositoryIsLower(image))
    throw new Error(`couldn't parse image name "${image}": invalid reference format`)
  if (image.includes('@')) return image
  const last = image.slice(image.lastIndexOf('/') + 1)
  return last.includes(':') ? image : `${image}:latest`
}

/** Host names may hold capitals and ports, repositories not. */
function repositoryIsLower(image: string): boolean {
  const [first = '', ...rest] = image.split('/')
  const hasHost = rest.length > 0 && /[.:]|^localhost$/.test(first)
  const repository = (hasHost ? rest.join('/') : image).replace(/@.*$/, '').replace(/:[^/]*$/, '')
  return repository === repository.toLowerCase()
}

/** The registry that a name belongs to, `docker.io` when it names none. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : 'docker.io'
}
