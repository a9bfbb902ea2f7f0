// Who may approve and sign certificates: a permission for each signer.
import { type CertificateSigningRequest, forbiddenError } from '../../../api/index.js'
import type { Authorizer } from '../authorization/authorizer.js'
import type { User } from '../http/context.js'
import type { AdmissionPlugin } from './plugin.js'

const GROUP = 'certificates.k8s.io'

async function maySigner(authorizer: Authorizer, user: User, verb: 'approve' | 'sign' | 'attest', signerName: string): Promise<boolean> {
  const ask = async (name: string): Promise<boolean> => {
    const attributes = {
      user,
      verb,
      isResource: true,
      group: GROUP,
      version: '*',
      resource: 'signers',
      subresource: '',
      namespace: '',
      name,
      path: '',
    }
    return (await authorizer.authorize(attributes)).allowed
  }
  return (await ask(signerName)) || (await ask(`${signerName.split('/')[0]}/*`))
}

export function certificateApproval(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'CertificateApproval',
    async validate({ operation, type, subresource, user, old, name }) {
      if (operation !== 'UPDATE' || type.group !== GROUP || type.plural !== 'certificatesigningrequests' || subresource !== 'approval')
        return
      const { signerName } = (old as CertificateSigningRequest).spec
      if (await maySigner(authorizer, user, 'approve', signerName)) return
      throw forbiddenError(type, name, `user not permitted to approve requests with signerName ${JSON.stringify(signerName)}`)
    },
  }
}

export function certificateSigning(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'CertificateSigning',
    async validate({ operation, type, subresource, user, object, old, name }) {
      if (operation !== 'UPDATE' || type.group !== GROUP || type.plural !== 'certificatesigningrequests' || subresource !== 'status') return
      const before = old as CertificateSigningRequest
      const after = object as unknown as CertificateSigningRequest
      if (
        before.status?.certificate === after.status?.certificate &&
        JSON.stringify(before.status?.conditions) === JSON.stringify(after.status?.conditions)
      )
        return
      const { signerName } = before.spec
      if (await maySigner(authorizer, user, 'sign', signerName)) return
      throw forbiddenError(type, name, `user not permitted to sign requests with signerName ${JSON.stringify(signerName)}`)
    },
  }
}

/** Nobody gets into system:masters by a signed request. */
export const certificateSubjectRestriction: AdmissionPlugin = {
  name: 'CertificateSubjectRestriction',
  async validate({ operation, type, subresource, object, name }) {
    if (operation !== 'CREATE' || type.group !== GROUP || type.plural !== 'certificatesigningrequests' || subresource !== '') return
    const { signerName, request } = (object as unknown as CertificateSigningRequest).spec
    if (signerName !== 'kubernetes.io/kube-apiserver-client') return
    const { parseCsr } = await import('../../../pki/index.js')
    let groups: readonly string[] = []
    try {
      groups = parseCsr(Buffer.from(request, 'base64').toString('utf8')).subject.organizations
    } catch {
      return // validation says what is wrong with it
    }
    if (groups.includes('system:masters'))
      throw forbiddenError(type, name, 'use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed')
  },
}

export { maySigner }
