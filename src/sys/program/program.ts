// A syscall program as a plain value: blocks of named steps, and the memory they share. Pure: nothing happens until something runs it.
import type { SyscallName } from '../libc/syscalls.js'

/** What a step passes: a number, or one of the forms below, which become addresses when the program is laid out. */
export type Argument = number | bigint | Expression

export type Expression =
  /** What the word of a region holds when the step runs. */
  | { readonly kind: 'value'; readonly region: string; readonly word: number }
  | Place
  /** The address of a NUL-terminated string. */
  | { readonly kind: 'text'; readonly text: string }
  /** The address of bytes. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** The address of an array of words. */
  | { readonly kind: 'words'; readonly words: readonly Argument[] }
  /** The address of a block's first step. */
  | { readonly kind: 'label'; readonly label: string }
  /** Where the part of the image that only the set-up needs begins, and how long it is. */
  | { readonly kind: 'transient'; readonly what: 'start' | 'length' }

/** The address of a region's word. */
export interface Place {
  readonly kind: 'address'
  readonly region: string
  readonly word: number
}

export const value = (region: string, word = 0): Expression => ({ kind: 'value', region, word })
export const address = (region: string, word = 0): Place => ({ kind: 'address', region, word })
export const text = (string: string): Expression => ({ kind: 'text', text: string })
export const bytes = (data: Uint8Array): Expression => ({ kind: 'bytes', bytes: data })
export const words = (...list: readonly Argument[]): Expression => ({ kind: 'words', words: list })
export const label = (name: string): Expression => ({ kind: 'label', label: name })
/** A NULL-terminated array of strings, as execve wants it. */
export const strings = (list: readonly string[]): Expression => words(...list.map(text), 0)

export interface Step {
  /** What a person reads when it fails: `mount /proc`. */
  readonly name: string
  /** `value` is no call: its result is its first argument. `end` returns its first argument to the caller of an in-process program. */
  readonly call: SyscallName | 'value' | 'end'
  readonly args: readonly Argument[]
  /** Where the result goes, successful or not. */
  readonly into: Place | undefined
  /** The block to go on with when the result is 0. */
  readonly onZero: string | undefined
  /** The block to go on with at an errno; `ignore` carries on. */
  readonly onError: string
  /** Try again at EINTR and EAGAIN. */
  readonly retry: boolean
}

export interface StepOptions {
  /** `name` or `name[word]`. */
  readonly into?: string
  readonly onZero?: string
  /** Default `fail`. */
  readonly onError?: string
  readonly retry?: boolean
}

const place = (into: string): Place => {
  const bracket = into.indexOf('[')
  return bracket < 0 ? address(into) : address(into.slice(0, bracket), Number(into.slice(bracket + 1, -1)))
}

/** One step. An errno goes to the block `fail` unless `onError` says otherwise. */
export function step(name: string, call: Step['call'], args: readonly Argument[], options: StepOptions = {}): Step {
  const { into, onZero, onError = 'fail', retry = false } = options
  return { name, call, args, into: into === undefined ? undefined : place(into), onZero, onError, retry }
}

/** Goes on with another block. */
export const goto = (block: string): Step => step(`go to ${block}`, 'value', [0], { onZero: block })

export interface Block {
  readonly label: string
  readonly steps: readonly Step[]
  /** Stays mapped when the rest of the image is dropped (`transient`): for code that lives as long as the program. */
  readonly resident?: boolean
}

/** Blocks follow each other: a block that does not jump away runs into the next one of its kind (resident or not). */
export interface Program {
  readonly blocks: readonly Block[]
  /** Named memory that steps write to, with what it holds at first. A region that is only stored into may be left out: one zero word. */
  readonly regions?: Readonly<Record<string, readonly Argument[]>>
  /** The block to begin with. */
  readonly entry: string
}
