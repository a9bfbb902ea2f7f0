// The rules for names, labels and ports: each function lists what is wrong with a string, in Kubernetes' words.

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const DNS_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const CONFIG_KEY = /^[-._a-zA-Z0-9]+$/

/** Kubernetes counts bytes; everything these rules accept is ASCII. */
const bytes = (text: string): number => Buffer.byteLength(text)

const tooLongText = (max: number): string => `must be no more than ${max} bytes`
/** What to say about a string that misses a pattern, with examples. */
function patternText(message: string, pattern: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${pattern}')`
  const [first, ...rest] = examples
  return `${message} (e.g. '${first}'${rest.map((e) => `,  or '${e}'`).join('')}, regex used for validation is '${pattern}')`
}

export function dnsLabelErrors(value: string): string[] {
  const errors: string[] = []
  if (bytes(value) > 63) errors.push(tooLongText(63))
  if (!DNS_LABEL.test(value))
    errors.push(
      patternText(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        '[a-z0-9]([-a-z0-9]*[a-z0-9])?',
        'my-name',
        '123-abc',
      ),
    )
  return errors
}

export function dns1035LabelErrors(value: string): string[] {
  const errors: string[] = []
  if (bytes(value) > 63) errors.push(tooLongText(63))
  if (!DNS_1035.test(value))
    errors.push(
      patternText(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        '[a-z]([-a-z0-9]*[a-z0-9])?',
        'my-name',
        'abc-123',
      ),
    )
  return errors
}

const SUBDOMAIN_PATTERN = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'

export function dnsSubdomainErrors(value: string): string[] {
  const errors: string[] = []
  if (bytes(value) > 253) errors.push(tooLongText(253))
  if (!DNS_SUBDOMAIN.test(value))
    errors.push(
      patternText(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        SUBDOMAIN_PATTERN,
        'example.com',
      ),
    )
  return errors
}

export function wildcardSubdomainErrors(value: string): string[] {
  const errors: string[] = []
  if (bytes(value) > 253) errors.push(tooLongText(253))
  if (!(value.startsWith('*.') && DNS_SUBDOMAIN.test(value.slice(2))))
    errors.push(
      patternText(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        `\\*\\.${SUBDOMAIN_PATTERN}`,
        '*.example.com',
      ),
    )
  return errors
}

const QUALIFIED_RULE = patternText(
  "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]',
  'MyName',
  'my.name',
  '123-abc',
)

/** `[prefix/]name`: label keys, annotation keys, resource and condition names. */
export function qualifiedNameErrors(value: string): string[] {
  const errors: string[] = []
  const parts = value.split('/')
  const name = parts.length === 2 ? (parts[1] ?? '') : (parts[0] ?? '')
  if (parts.length > 2) return [`${QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`]
  if (parts.length === 2) {
    const prefix = parts[0] ?? ''
    if (prefix === '') errors.push('prefix part must be non-empty')
    else for (const error of dnsSubdomainErrors(prefix)) errors.push(`prefix part ${error}`)
  }
  if (name === '') errors.push('name part must be non-empty')
  else if (bytes(name) > 63) errors.push(`name part ${tooLongText(63)}`)
  if (!QUALIFIED.test(name)) errors.push(`name part ${QUALIFIED_RULE.replace('a qualified name must', 'must')}`)
  return errors
}

export function labelValueErrors(value: string): string[] {
  const errors: string[] = []
  if (bytes(value) > 63) errors.push(tooLongText(63))
  if (value !== '' && !QUALIFIED.test(value))
    errors.push(
      patternText(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
        'MyValue',
        'my_value',
        '12345',
      ),
    )
  return errors
}

/** Keys of ConfigMaps and Secrets: they become file names. */
export function configKeyErrors(value: string): string[] {
  const errors: string[] = []
  if (bytes(value) > 253) errors.push(tooLongText(253))
  if (!CONFIG_KEY.test(value))
    errors.push(
      patternText(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    )
  if (value === '.') errors.push("must not be '.'")
  else if (value === '..') errors.push("must not be '..'")
  else if (value.startsWith('..')) errors.push("must not start with '..'")
  return errors
}

/** Names of environment variables: any printable ASCII but `=`. */
export function envNameErrors(value: string): string[] {
  if (value === '') return ['environment variable name must be at least 1 character']
  if (/^[\x20-\x3c\x3e-\x7e]+$/.test(value)) return []
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
}

/** IANA service names: port names. */
export function portNameErrors(value: string): string[] {
  const errors: string[] = []
  if (value.length > 15) errors.push('must be no more than 15 characters')
  if (!/^[-a-z0-9]+$/.test(value)) errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)')
  if (value.includes('--')) errors.push('must not contain consecutive hyphens')
  if (value.startsWith('-') || value.endsWith('-')) errors.push('must not begin or end with a hyphen')
  return errors
}

export const portNumberErrors = (value: number): string[] =>
  Number.isInteger(value) && value >= 1 && value <= 65535 ? [] : ['must be between 1 and 65535, inclusive']

/** One segment of a URL path: the least that any name must be. */
export function pathSegmentErrors(value: string): string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`]
  return ['/', '%'].filter((c) => value.includes(c)).map((c) => `may not contain '${c}'`)
}

export type NameRule = (value: string) => string[]

/** `generateName` is checked as the name it will become: a trailing dash is fine. */
export function generateNameErrors(prefix: string, rule: NameRule): string[] {
  return rule(prefix.endsWith('-') ? `${prefix.slice(0, -1)}a` : prefix)
}
