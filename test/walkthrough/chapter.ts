// What the chapters of the walk-through share.
import type t from 'tap'
import { until } from '../machines/until.js'
import type { TestCluster } from './cluster.js'

export type Tap = typeof t
export type Chapter = (t: Tap, cluster: TestCluster) => Promise<void>

/** Waits until `kubectl get pod NAME` shows `word` ("Running", "2/2", "Completed"). */
export const shows = ({ kube }: TestCluster, pod: string, word: string): Promise<true> =>
  until(`pod ${pod} is ${word}`, async () => (await kube('get', 'pod', pod, '--no-headers')).includes(word) || undefined)

/** Lines of what kubectl printed; none for nothing. */
export const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** A workload of the walk-through's web server: it says `text`, its name, and at /cgi-bin/who the address that asks. */
export const webTemplate = (text: string, indent: number): string =>
  `metadata: { labels: { app: web } }
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: web
    image: bb
    imagePullPolicy: IfNotPresent
    env: [{ name: TEXT, value: "${text}" }]
    command: [web]
    ports: [{ containerPort: 8080 }]
    readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }`.replace(/^(?=.)/gm, ' '.repeat(indent))
