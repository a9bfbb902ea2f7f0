// `$(NAME)` in commands, arguments and values of variables.

/**
 * Replaces `$(NAME)` by its value; an unknown name stays as it is written, `$$` is one dollar sign.
 * (kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables)
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let out = ''
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char !== '$' || at + 1 >= text.length) {
      out += char
      continue
    }
    const next = text[at + 1]
    if (next === '$') {
      out += '$'
      at++
    } else if (next === '(') {
      const end = text.indexOf(')', at + 2)
      if (end < 0) {
        out += '$('
        at++
        continue
      }
      const name = text.slice(at + 2, end)
      out += lookup(name) ?? `$(${name})`
      at = end
    } else {
      out += `$${next}`
      at++
    }
  }
  return out
}

/** Names that `text` uses and that have no value. */
export function missingNames(text: string, lookup: (name: string) => string | undefined): readonly string[] {
  const missing: string[] = []
  expand(text, (name) => {
    const value = lookup(name)
    if (value === undefined) missing.push(name)
    return value
  })
  return missing
}
