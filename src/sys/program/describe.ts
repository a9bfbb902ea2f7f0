// Programs and their failures in words.
import { errnoName, SysError } from '../../lib/index.js'
import type { Argument, Program, Step } from './program.js'

/** A step failed: its name says what was tried on which object. */
export class StepError extends SysError {
  readonly step: string

  constructor(stepName: string, call: string, errno: number) {
    super(stepName, errno)
    this.name = 'StepError'
    this.step = stepName
    this.message = `${stepName}: ${call}: ${errnoName(errno)}`
  }
}

const printable = (data: Uint8Array): string => `<${data.length} bytes>`

function argumentText(argument: Argument): string {
  if (typeof argument === 'bigint') return `0x${argument.toString(16)}`
  if (typeof argument === 'number') return argument > 4095 ? `0x${argument.toString(16)}` : String(argument)
  switch (argument.kind) {
    case 'value':
      return argument.word ? `${argument.region}[${argument.word}]` : argument.region
    case 'address':
      return argument.word ? `&${argument.region}[${argument.word}]` : `&${argument.region}`
    case 'text':
      return JSON.stringify(argument.text)
    case 'bytes':
      return printable(argument.bytes)
    case 'words':
      return `{${argument.words.map(argumentText).join(', ')}}`
    case 'label':
      return `:${argument.label}`
    case 'transient':
      return `transient.${argument.what}`
  }
}

/** `pid = clone(0x11, 0) or fail; at 0 go to child`, without the step's name. */
export function stepText({ call, args, into, onZero, onError, retry }: Step): string {
  const target = into ? `${into.region}${into.word ? `[${into.word}]` : ''} = ` : ''
  const body = call === 'value' ? args.map(argumentText).join(', ') : `${call}(${args.map(argumentText).join(', ')})`
  const zero = onZero ? `; at 0 go to ${onZero}` : ''
  const error =
    onError === 'fail' || call === 'value' || call === 'end'
      ? ''
      : onError === 'ignore'
        ? '; errors are fine'
        : `; at an error go to ${onError}`
  return `${target}${body}${zero}${error}${retry ? '; again at EINTR' : ''}`
}

/** The whole program, one step a line. */
export function programText(program: Program): string {
  const lines: string[] = []
  for (const block of program.blocks) {
    lines.push(`${block.label}:${block.resident ? ' (resident)' : ''}`)
    for (const item of block.steps) lines.push(`  ${item.name.padEnd(36)} ${stepText(item)}`)
  }
  return `${lines.join('\n')}\n`
}
