// Masquerade of pods that speak to the world outside.
import { CNI_ERRORS, CniError, type CniIp, type PluginRequest } from './types.js'

export function addMasquerade(_request: PluginRequest, _ips: readonly CniIp[], _direct: readonly string[]): void {
  throw new CniError(CNI_ERRORS.unsupportedField, 'ipMasq')
}
export function removeMasquerade(_request: PluginRequest): void {}
export function gcMasquerade(_request: PluginRequest): void {}
