// Pods and containers as the kubelet asks for them: CRI v1 over our own runtime, images and networking.
export * from './errors.js'
export * from './types.js'
