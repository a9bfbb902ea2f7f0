// Waiting for a condition of the real world, which has no event to wait for.

/** Tries until it resolves with something other than undefined or false; the last failure is the error's cause when time is up. */
export async function until<T>(what: string, attempt: () => Promise<T | undefined | false>, seconds = 300): Promise<T> {
  const end = Date.now() + seconds * 1000
  let last: unknown
  for (;;) {
    try {
      const result = await attempt()
      if (result !== undefined && result !== false) return result
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`, last === undefined ? undefined : { cause: last })
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
