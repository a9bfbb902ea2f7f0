// Every controller, in the order in which they start.
import type { Controller } from './types.js'

export const controllers: readonly Controller[] = []
