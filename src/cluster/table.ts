// What `kubectl get` prints, from the server's own tables.
import type { Kind, Resource } from '../api/index.js'
import { type Client, resourcePath } from '../client/index.js'
import { readBody } from '../lib/index.js'

interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[]
  readonly rows: readonly { readonly cells: readonly unknown[] }[]
}

const ACCEPT = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'

/** Padded columns under their headings; with `prefix` names carry their kind, as in `kubectl get all`. */
export async function tableOf<T extends Resource>(
  client: Client,
  kind: Kind<T>,
  options: { readonly namespace: string; readonly prefix: boolean },
): Promise<string> {
  const answer = await client.request({
    method: 'GET',
    url: resourcePath(kind as unknown as Kind<Resource>, options),
    headers: { accept: ACCEPT },
  })
  const table = JSON.parse(Buffer.from(await readBody(answer.body)).toString('utf8')) as Table
  const shown = table.columnDefinitions.flatMap(({ name, priority }, i) => (priority === 0 ? [{ name, i }] : []))
  const group = kind.group === '' ? '' : `.${kind.group}`
  const rows = table.rows.map(({ cells }) =>
    shown.map(({ i, name }) =>
      options.prefix && name === 'Name' ? `${kind.kind.toLowerCase()}${group}/${String(cells[i])}` : String(cells[i] ?? '<none>'),
    ),
  )
  const lines = [shown.map(({ name }) => name.toUpperCase()), ...rows]
  const widths = shown.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)))
  return `${lines
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')}\n`
}
