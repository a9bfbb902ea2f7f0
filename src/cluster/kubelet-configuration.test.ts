import t from 'tap'
import { parseKubeletConfiguration } from './kubelet-configuration.js'

const HEAD = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n'

t.test('a file as kubeadm and people write it', async (t) => {
  const { settings, withoutEffect } = parseKubeletConfiguration(`${HEAD}
authentication: { anonymous: { enabled: false } }
cgroupDriver: systemd
maxPods: 50
podPidsLimit: 1000
kubeReserved: { cpu: 100m, memory: 256Mi }
imageGCHighThresholdPercent: 70
imageGCLowThresholdPercent: 60
imageMinimumGCAge: 1m30s
containerLogMaxSize: 5Mi
containerLogMaxFiles: 3
serializeImagePulls: true
shutdownGracePeriod: 30s
nodeStatusUpdateFrequency: 0s
nodeStatusReportFrequency: 0s
containerLogMonitorInterval: 0s
`)
  t.same(settings, {
    maxPods: 50,
    podPidsLimit: 1000,
    kubeReserved: { cpu: '100m', memory: '256Mi' },
    imageGc: { highThresholdPercent: 70, lowThresholdPercent: 60, minimumAgeMs: 90_000 },
    containerLogMaxSizeBytes: 5 * 2 ** 20,
    containerLogMaxFiles: 3,
    maxParallelImagePulls: 1,
    shutdownGracePeriodSeconds: 30,
  })
  t.same(withoutEffect, ['authentication', 'cgroupDriver'])
})

t.test('what kubeadm writes for durations is the default, not a loop without rest', async (t) => {
  t.same(parseKubeletConfiguration(`${HEAD}imageMinimumGCAge: 0s\nnodeStatusUpdateFrequency: 0s\n`).settings, {})
})

t.test('mistakes are named', async (t) => {
  for (const [text, message] of [
    ['kind: Pod\napiVersion: v1', /want "apiVersion: kubelet\.config\.k8s\.io\/v1beta1"/],
    [`${HEAD}maxPod: 1`, /^unknown field "maxPod"$/],
    [`${HEAD}maxPods: many`, /^maxPods: want a whole number, not "many"$/],
    [`${HEAD}maxPods: 0`, /^maxPods: want a number above 0, not 0$/],
    [`${HEAD}kubeReserved: { cpu: lots }`, /^kubeReserved: cpu: want an amount/],
    [`${HEAD}imageMinimumGCAge: soon`, /^imageMinimumGCAge: want a duration such as "10s", not "soon"$/],
    [`${HEAD}imageGCHighThresholdPercent: 120`, /want a number from 0 to 100/],
    [`${HEAD}imageGCHighThresholdPercent: 50`, /want less than imageGCHighThresholdPercent/],
    [`${HEAD}containerLogMaxSize: 10`, /want an amount of bytes/],
    [`${HEAD}registerNode: yes please`, /want true or false/],
    [`${HEAD}allowedUnsafeSysctls: kernel.msg*`, /want a list of words/],
  ] as const)
    t.throws(() => parseKubeletConfiguration(text), { message })
})
