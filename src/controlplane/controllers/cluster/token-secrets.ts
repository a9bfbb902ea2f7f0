// Secrets of type `kubernetes.io/service-account-token`: fills in the token of the account that they name, and goes with the account.
import { Secret, ServiceAccount, type TokenRequest } from '../../../api/index.js'
import { isDeleting, keyOf, nameOf, uidOf } from '../objects.js'
import type { Context, Controller } from '../types.js'
import { watch } from '../types.js'

const TYPE = 'kubernetes.io/service-account-token'
const NAME = 'kubernetes.io/service-account.name'
const UID = 'kubernetes.io/service-account.uid'
/** Such a token ends with its Secret, not with time: the longest that can be asked for. */
const SECONDS = 2 ** 32

const accountName = (secret: Secret): string | undefined => (secret.type === TYPE ? secret.metadata.annotations?.[NAME] : undefined)

const encode = (text: string): string => Buffer.from(text).toString('base64')

/** What the Secret lacks; undefined when it has all. `token` is made when it is asked for. */
export async function planTokenData(
  secret: Secret,
  rootCa: string | undefined,
  token: () => Promise<string>,
): Promise<Record<string, string> | undefined> {
  const data: Record<string, string> = {}
  if (!secret.data?.token) data.token = encode(await token())
  if (rootCa && secret.data?.['ca.crt'] !== encode(rootCa)) data['ca.crt'] = encode(rootCa)
  if (!secret.data?.namespace) data.namespace = encode(secret.metadata.namespace ?? '')
  return Object.keys(data).length > 0 ? data : undefined
}

async function tokenFor({ client }: Context, account: ServiceAccount, secret: Secret): Promise<string> {
  const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name: secret.metadata.name, uid: uidOf(secret) }
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: SECONDS, boundObjectRef } }
  const answer = (await client.subresource(ServiceAccount, nameOf(account), 'token', request)) as TokenRequest
  return answer.status?.token ?? ''
}

export const tokenSecrets: Controller = {
  name: 'serviceaccount-token',
  component: 'serviceaccount-token-controller',
  for: Secret,
  watches: [
    watch(ServiceAccount, (account, cache) =>
      cache
        .list(Secret, account.metadata.namespace)
        .filter((secret) => accountName(secret) === account.metadata.name)
        .map(keyOf),
    ),
  ],
  async reconcile(key, context) {
    const { cache, client, options } = context
    const secret = cache.get(Secret, key)
    const name = secret && accountName(secret)
    if (!secret || !name || isDeleting(secret)) return undefined
    const wantedUid = secret.metadata.annotations?.[UID]
    const cached = cache.get(ServiceAccount, `${secret.metadata.namespace}/${name}`)
    // The cache may be behind: nothing is deleted on its word.
    const account = cached ?? (await client.find(ServiceAccount, { namespace: secret.metadata.namespace, name }))
    if (!account || (wantedUid && wantedUid !== uidOf(account))) {
      await client.delete(Secret, nameOf(secret), { preconditions: { uid: uidOf(secret) } })
      return undefined
    }
    const data = await planTokenData(secret, options.rootCa, () => tokenFor(context, account, secret))
    if (!data && wantedUid) return undefined
    const metadata = { resourceVersion: secret.metadata.resourceVersion, annotations: { [UID]: uidOf(account) } }
    await client.patch(Secret, nameOf(secret), { metadata, ...(data ? { data } : {}) }, { type: 'merge' })
    return undefined
  },
}
