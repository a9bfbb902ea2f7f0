// serviceaccounts/token: a fresh token, bound to a pod, a secret or a node.
import {
  conflictError,
  type FieldError,
  invalid,
  invalidObject,
  isObject,
  Node,
  notFoundError,
  Pod,
  Secret,
  ServiceAccount,
  type TokenRequestSpec,
} from '../../../api/index.js'
import { ApiError, rfc3339 } from '../../../lib/index.js'
import type { ServiceAccountTokens } from '../authentication/service-accounts.js'
import { typeFor } from '../bootstrap.js'
import { readShape, writeQuery } from '../http/body.js'
import { noSuchMethod } from '../http/errors.js'
import { answer, jsonBytes } from '../http/respond.js'
import { createReader, type Reader } from '../registry/backend.js'
import type { SpecialHandler } from '../verbs/services.js'
import { admitBody, writeRequest } from '../verbs/written.js'

const TOKEN_REQUEST = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' }
const SHORTEST = 600
const LONGEST = 2 ** 32

const refuse = (name: string, errors: readonly FieldError[]): void => {
  if (errors.length > 0) throw invalidObject({ group: 'authentication.k8s.io', kind: 'TokenRequest', name }, errors)
}

interface Bound {
  readonly pod?: { readonly name: string; readonly uid: string }
  readonly secret?: { readonly name: string; readonly uid: string }
  readonly node?: { readonly name: string; readonly uid: string }
}

async function boundTo(reference: TokenRequestSpec['boundObjectRef'], account: ServiceAccount, reader: Reader): Promise<Bound> {
  if (!reference) return {}
  const { kind, apiVersion, name = '', uid } = reference
  const namespace = account.metadata.namespace ?? ''
  const kinds = { Pod, Secret, Node } as const
  const wanted = kinds[kind as keyof typeof kinds]
  const [group, version] = (apiVersion ?? '').includes('/') ? (apiVersion ?? '').split('/') : ['', apiVersion ?? '']
  if (!wanted || group !== '')
    throw new ApiError('BadRequest', `cannot bind token to object of type ${group}/${version}, Kind=${kind ?? ''}`)
  const found = await reader.find<Pod | Secret | Node>(wanted as never, kind === 'Node' ? '' : namespace, name)
  if (!found) throw notFoundError(typeFor(wanted as never), name)
  if (uid && uid !== found.metadata.uid) {
    const detail = `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`
    // Here Kubernetes names the kind where it names the resource elsewhere.
    throw conflictError({ group: '', plural: wanted.kind }, name, detail)
  }
  const own = { name, uid: found.metadata.uid ?? '' }
  if (kind === 'Secret') return { secret: own }
  if (kind === 'Node') return { node: own }
  const { spec } = found as Pod
  if (spec?.serviceAccountName !== account.metadata.name) {
    throw new ApiError(
      'BadRequest',
      `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
    )
  }
  const node = spec?.nodeName ? await reader.find(Node, '', spec.nodeName) : undefined
  return { pod: own, ...(node && { node: { name: node.metadata.name, uid: node.metadata.uid ?? '' } }) }
}

export const requestToken =
  (tokens: ServiceAccountTokens): SpecialHandler =>
  async (context, type, services) => {
    if (context.info.verb !== 'create') throw noSuchMethod()
    const { name, namespace } = context.info
    const reader = createReader(services.backend.feed)
    const account = await reader.find(ServiceAccount, namespace, name)
    if (!account) throw notFoundError(typeFor(ServiceAccount), name)
    const body = await readShape(context, services.maxBodyBytes, TOKEN_REQUEST, writeQuery(context))
    const said = isObject(body.metadata) ? body.metadata : {}
    const elsewhere = (field: 'name' | 'namespace', wanted: string): FieldError[] =>
      said[field] && said[field] !== wanted
        ? [invalid(`metadata.${field}`, said[field], `must match the service account ${field} if specified`)]
        : []
    refuse(name, [...elsewhere('name', name), ...elsewhere('namespace', namespace)])
    if (said.uid && said.uid !== account.metadata.uid) {
      const detail = `the UID in the token request (${String(said.uid)}) does not match the UID of the service account (${account.metadata.uid})`
      throw conflictError({ group: 'authentication.k8s.io', plural: 'TokenRequest' }, name, detail)
    }
    const spec = (body.spec ?? {}) as Partial<TokenRequestSpec>
    const seconds = spec.expirationSeconds ?? 3600
    const at = 'spec.expirationSeconds'
    if (!Number.isSafeInteger(seconds) || seconds < SHORTEST)
      refuse('', [invalid(at, seconds, 'may not specify a duration less than 10 minutes')])
    if (seconds > LONGEST) refuse('', [invalid(at, seconds, 'may not specify a duration larger than 2^32 seconds')])
    const request = writeRequest(context, type, { dryRun: false, fieldManager: '' })
    await admitBody(request, { ...body, metadata: { ...said, name, namespace } }, services)
    const audiences = spec.audiences?.length ? spec.audiences : tokens.defaultAudiences
    const bound = await boundTo(spec.boundObjectRef, account, reader)
    const { token, expires } = tokens.issue({ account, audiences, seconds, ...bound })
    return answer(
      201,
      jsonBytes({
        kind: 'TokenRequest',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { name, namespace, creationTimestamp: rfc3339(services.backend.clock.now()) },
        spec: { audiences, expirationSeconds: seconds, boundObjectRef: spec.boundObjectRef ?? null },
        status: { token, expirationTimestamp: rfc3339(expires) },
      }),
    )
  }
