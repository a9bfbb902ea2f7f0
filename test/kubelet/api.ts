import type { HttpHandler } from '../../src/lib/index.js'
import { scratchApi } from './scratch-api.js'
export async function apiServer(_dir: string): Promise<{ handler: HttpHandler; close(): Promise<void> }> {
  return { handler: scratchApi().handler, close: async () => {} }
}
