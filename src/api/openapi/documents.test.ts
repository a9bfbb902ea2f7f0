import t from 'tap'
import type { JsonObject } from '../json/value.js'
import { resourceTypes } from '../resources/table.js'
import { openApiV2, openApiV3 } from './documents.js'

type Patch = { readonly 'x-kubernetes-group-version-kind': JsonObject; readonly parameters: readonly { readonly name: string }[] }

/** kubectl takes the first PATCH of a kind that it finds, in no order, to learn whether the server validates fields. */
t.test('all patches of a kind take the same parameters', (t) => {
  const documents = [openApiV2(resourceTypes, 'v1'), ...[...openApiV3(resourceTypes, 'v1')].map(([, document]) => document)]
  let seen = 0
  for (const { paths } of documents) {
    const known = new Map<string, string>()
    for (const [url, item] of Object.entries(paths as Record<string, { readonly patch?: Patch }>)) {
      if (!item.patch) continue
      const kind = JSON.stringify(item.patch['x-kubernetes-group-version-kind'])
      const names = item.patch.parameters
        .map(({ name }) => name)
        .filter((name) => name !== 'body')
        .join()
      t.equal(known.get(kind) ?? names, names, `${url} of ${kind}`)
      known.set(kind, names)
      seen++
    }
  }
  t.ok(seen > 100)
  t.end()
})
