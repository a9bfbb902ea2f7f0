// Controllers: keep what was asked for. Each is a value; its decision is a pure function next door.
export { controllers } from './list.js'
export { type RunControllersOptions, runControllers } from './run.js'
export * from './types.js'
