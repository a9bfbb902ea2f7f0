// Reads the part of the proto3 language that criProto uses into tables that the codec walks.

export interface Field {
  /** camelCase, as our types have it. */
  readonly name: string
  readonly number: number
  /** A scalar's name, or a message's or enum's. */
  readonly type: string
  readonly repeated: boolean
  /** Type of the values of a map<string, …>. */
  readonly mapOf?: string
}

export interface Method {
  readonly name: string
  readonly request: string
  readonly response: string
  readonly serverStreaming: boolean
}

export interface Schema {
  readonly package: string
  readonly messages: ReadonlyMap<string, readonly Field[]>
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly services: ReadonlyMap<string, readonly Method[]>
}

/** `pod_sandbox_id` to `podSandboxId`, `CDI_devices` to `cdiDevices`, `Avg10` to `avg10`; `uidMappings` stays. */
export function camelCase(name: string): string {
  const [first = '', ...rest] = name.split('_')
  const head = /^[A-Z]/.test(first) ? first.toLowerCase() : first
  return head + rest.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

const TOKEN = /"[^"]*"|[A-Za-z_][\w.]*|\d+|[{}()<>=;,]/g

/** Throws at the first thing it does not know. */
export function parseSchema(text: string): Schema {
  const tokens = text.match(TOKEN) ?? []
  let at = 0
  const take = (): string => tokens[at++] ?? ''
  const expect = (...wanted: readonly string[]): void => {
    for (const word of wanted) {
      const got = take()
      if (got !== word) throw new SyntaxError(`proto: want ${word}, got ${JSON.stringify(got)} at token ${at}`)
    }
  }
  const messages = new Map<string, readonly Field[]>()
  const enums = new Map<string, ReadonlyMap<string, number>>()
  const services = new Map<string, readonly Method[]>()

  const parseEnum = (): void => {
    const name = take()
    const values = new Map<string, number>()
    expect('{')
    while (tokens[at] !== '}') {
      const value = take()
      expect('=')
      values.set(value, Number(take()))
      expect(';')
    }
    expect('}')
    enums.set(name, values)
  }

  const parseField = (first: string): Field => {
    let type = first
    const repeated = first === 'repeated'
    if (repeated) type = take()
    let mapOf: string | undefined
    if (type === 'map') {
      expect('<', 'string', ',')
      mapOf = take()
      expect('>')
    }
    const name = camelCase(take())
    expect('=')
    const number = Number(take())
    expect(';')
    return mapOf === undefined ? { name, number, type, repeated } : { name, number, type, repeated, mapOf }
  }

  const parseMessage = (): void => {
    const name = take()
    const fields: Field[] = []
    expect('{')
    while (tokens[at] !== '}') {
      const word = take()
      if (word === 'enum') parseEnum()
      else fields.push(parseField(word))
    }
    expect('}')
    messages.set(name, fields)
  }

  const parseService = (): void => {
    const service = take()
    const methods: Method[] = []
    expect('{')
    while (tokens[at] !== '}') {
      expect('rpc')
      const name = take()
      expect('(')
      const request = take()
      expect(')', 'returns', '(')
      let response = take()
      const serverStreaming = response === 'stream'
      if (serverStreaming) response = take()
      expect(')', ';')
      methods.push({ name, request, response, serverStreaming })
    }
    expect('}')
    services.set(service, methods)
  }

  expect('syntax', '=', '"proto3"', ';', 'package')
  const packageName = take()
  expect(';')
  while (at < tokens.length) {
    const word = take()
    if (word === 'message') parseMessage()
    else if (word === 'enum') parseEnum()
    else if (word === 'service') parseService()
    else throw new SyntaxError(`proto: unexpected ${JSON.stringify(word)} at token ${at}`)
  }
  return { package: packageName, messages, enums, services }
}
