// A manifest of several documents, as `kubectl apply -f` would bring it in: made where it is missing, changed where it differs.
import { parseAllDocuments } from 'yaml'
import { allKinds, type Kind, type Resource } from '../api/index.js'
import type { Client } from '../client/index.js'
import { isStatus } from '../lib/index.js'

export async function applyManifest(client: Client, manifest: string): Promise<void> {
  for (const document of parseAllDocuments(manifest)) {
    const object = document.toJS() as Resource | null
    if (!object) continue
    const kind = (allKinds as readonly Kind[]).find((each) => each.kind === object.kind && each.apiVersion === object.apiVersion)
    if (!kind) throw new Error(`no matches for kind "${object.kind}" in version "${object.apiVersion}"`)
    try {
      await client.create(kind, object, { fieldManager: 'knarr' })
    } catch (error) {
      if (!isStatus(error, 'AlreadyExists')) throw error
      await client.patch(kind, object.metadata, object, { type: 'merge', fieldManager: 'knarr' })
    }
  }
}
