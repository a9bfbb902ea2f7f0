// Pods and containers as the kubelet asks for them: CRI v1 over our own runtime, images and networking.
export { createCri, type RunningCri } from './cri.js'
export type { CriOptions, Machine, NetworkPod, PodNetwork } from './engine.js'
export * from './errors.js'
export { type GrpcOptions, type GrpcServer, serveCri } from './grpc/server.js'
export { thisMachine } from './host-facts.js'
export { type LogLine, type LogStream, parseLogLine } from './log-format.js'
export { cniNetwork } from './network.js'
export * from './types.js'
