// Users and groups of a container, from its own /etc/passwd and /etc/group (passwd(5), group(5)). Pure: the files come as text.
import { CriError, invalid } from '../errors.js'
import type { SupplementalGroupsPolicy } from '../types.js'

export interface UserWish {
  /** From the image: `user`, `uid`, `user:group`, `uid:gid`. */
  readonly imageUser: string
  readonly runAsUser?: number | undefined
  readonly runAsUsername?: string | undefined
  readonly runAsGroup?: number | undefined
  readonly supplementalGroups?: readonly number[] | undefined
  readonly policy?: SupplementalGroupsPolicy | undefined
}

export interface ResolvedUser {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  readonly home: string
}

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

function accounts(passwd: string): Account[] {
  const found: Account[] = []
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid, , home] = line.split(':')
    if (name && uid && gid) found.push({ name, uid: Number(uid), gid: Number(gid), home: home || '/' })
  }
  return found.filter(({ uid, gid }) => Number.isInteger(uid) && Number.isInteger(gid))
}

function groups(group: string): { readonly name: string; readonly gid: number; readonly members: readonly string[] }[] {
  return group.split('\n').flatMap((line) => {
    const [name, , gid, members = ''] = line.split(':')
    return name && gid && Number.isInteger(Number(gid)) ? [{ name, gid: Number(gid), members: members.split(',').filter(Boolean) }] : []
  })
}

const isNumber = (text: string): boolean => /^\d+$/.test(text)

/** Throws a sentence when a name is in neither file. */
export function resolveUser(wish: UserWish, files: { readonly passwd: string; readonly group: string }): ResolvedUser {
  const [imageName = '', imageGroup = ''] = wish.imageUser.split(':')
  if (wish.runAsGroup !== undefined && wish.runAsUser === undefined && !wish.runAsUsername)
    throw invalid('runAsGroup is set without runAsUser: set both')
  const wanted = wish.runAsUser !== undefined ? String(wish.runAsUser) : wish.runAsUsername || imageName || '0'
  const known = accounts(files.passwd)
  const account = isNumber(wanted) ? known.find(({ uid }) => uid === Number(wanted)) : known.find(({ name }) => name === wanted)
  if (!account && !isNumber(wanted)) throw new CriError('NOT_FOUND', `user ${JSON.stringify(wanted)} is not in the image's /etc/passwd`)
  const uid = account?.uid ?? Number(wanted)

  const groupList = groups(files.group)
  // The image's group goes with the image's user only.
  const groupWish =
    wish.runAsGroup !== undefined ? String(wish.runAsGroup) : wish.runAsUser === undefined && !wish.runAsUsername ? imageGroup : ''
  let gid = account?.gid ?? 0
  if (groupWish) {
    const found = isNumber(groupWish) ? Number(groupWish) : groupList.find(({ name }) => name === groupWish)?.gid
    if (found === undefined) throw new CriError('NOT_FOUND', `group ${JSON.stringify(groupWish)} is not in the image's /etc/group`)
    gid = found
  }
  const extra = new Set<number>()
  extra.add(gid)
  if (wish.policy !== 'Strict' && account) for (const { gid: id, members } of groupList) if (members.includes(account.name)) extra.add(id)
  for (const id of wish.supplementalGroups ?? []) extra.add(id)
  return { uid, gid, additionalGids: [...extra], home: account?.home ?? '/' }
}
