// The cluster's certificate authority, as the controllers see it.
import type { CertificateSigner, ControllerOptions } from '../controlplane/controllers/index.js'
import { EXTENDED_USAGES, KEY_USAGES, type KeyUsage, type PkiContext, parseCsr, signCertificate } from '../pki/index.js'
import type { ClusterCertificates } from './certificates.js'

const isUsage = (name: string): name is KeyUsage => Object.hasOwn(EXTENDED_USAGES, name) || Object.hasOwn(KEY_USAGES, name)

/** Signs whatever the controllers have approved; they hold the policy. */
export function certificateSigner(certificates: ClusterCertificates, { clock, random }: PkiContext): CertificateSigner {
  return {
    async sign({ pem, usages, notAfter }) {
      const request = parseCsr(pem)
      const unknown = usages.find((usage) => !isUsage(usage))
      if (unknown !== undefined) throw new Error(`the usage "${unknown}" is not one this signer grants`)
      return signCertificate(
        { ...request, usages: usages.filter(isUsage), notBefore: clock.now() - 5 * 60_000, notAfter },
        { issuer: certificates.ca },
        random,
      )
    },
    inspect(pem) {
      try {
        const { subject, altNames } = parseCsr(pem)
        return {
          commonName: subject.commonName,
          organizations: subject.organizations,
          dnsNames: altNames.dns,
          ipAddresses: altNames.ips,
          emailAddresses: altNames.emails,
          uris: altNames.uris,
        }
      } catch {
        return undefined
      }
    },
  }
}

/** What the controllers need from outside. */
export const controllerWiring = (
  certificates: ClusterCertificates,
  options: { readonly clusterCidrs: readonly string[] },
  pki: PkiContext,
): ControllerOptions => ({
  rootCa: certificates.ca.cert,
  signer: certificateSigner(certificates, pki),
  clusterCidrs: options.clusterCidrs,
})
