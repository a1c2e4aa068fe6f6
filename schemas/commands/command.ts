/** What a command is: its name, who may call it, what goes in and what comes out. Handlers live in the gateway. */
import { z } from 'zod';
import { Deployment, parseDeployment } from '../deployment.ts';
import { type ErrorCode, GridError } from '../errors/index.ts';
import { type Codec, decode, encode, withCodec } from '../gojson/codec.ts';
import { DecodeProblem } from '../gojson/problem.ts';

/**
 * `any` twin; `own`: any twin, sees only what is its own; `farmer`: the twin that owns the node's farm;
 * `admin`: a twin that the node's operator named.
 */
export type Caller = 'any' | 'own' | 'farmer' | 'admin';

export interface Command<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** Other spellings that existing clients use. */
  readonly aliases?: readonly string[];
  /** One sentence for documents. */
  readonly summary: string;
  readonly caller: Caller;
  /** `nothing` where the payload is ignored. */
  readonly input: I;
  readonly output: O;
  /** How the refusal of a payload that cannot be read begins, where existing clients know it. */
  readonly unreadable?: string;
  /** Errors of its own, beyond those of every command and of the deployment it takes. */
  readonly errors?: readonly ErrorCode[];
}

/** Bytes of a command's input; a deployment has a bound of its own. */
export const MAX_INPUT_BYTES = 64 * 1024;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

const skipped: Codec['read'] = (json) => {
  json.skip();
  return null;
};

/** No argument, or no result: `null` on the wire. Reading it ignores what is there. */
export const nothing = withCodec(z.null(), { zero: () => null, read: skipped, write: () => 'null' });

/** Checks one definition's types. */
export function defineCommand<I extends z.ZodType, O extends z.ZodType>(command: Command<I, O>): Command<I, O> {
  return command;
}

/**
 * A request's payload as the command's input. Commands without input ignore the payload. Throws
 * `GridError` `payload_invalid` or `payload_undecodable`, for deployments the codes of `parseDeployment`.
 */
export function parseInput<I extends z.ZodType>(command: Command<I>, payload: string | Uint8Array): z.output<I> {
  if ((command.input as z.ZodType) === nothing) return null as z.output<I>;
  if ((command.input as z.ZodType) === Deployment) return parseDeployment(payload) as z.output<I>;
  return read(command.input, payload, command, MAX_INPUT_BYTES);
}

/** A handler's result as the answer's payload. */
export function formatOutput<O extends z.ZodType>(command: Command<z.ZodType, O>, result: z.output<O>): string {
  return encode(command.output, result);
}

/** A client's input as the request's payload. */
export function formatInput<I extends z.ZodType>(command: Command<I>, input: z.output<I>): string {
  return encode(command.input, input);
}

/** An answer's payload as the command's result, for clients. Throws `GridError` `payload_invalid`. */
export function parseOutput<O extends z.ZodType>(
  command: Command<z.ZodType, O>,
  payload: string | Uint8Array,
): z.output<O> {
  if ((command.output as z.ZodType) === nothing) return null as z.output<O>;
  return read(command.output, payload, { name: command.name }, MAX_ANSWER_BYTES);
}

function read<S extends z.ZodType>(
  schema: S,
  payload: string | Uint8Array,
  { name, unreadable }: Pick<Command, 'name' | 'unreadable'>,
  maxBytes: number,
): z.output<S> {
  try {
    return decode(schema, payload, { struct: 'args', maxBytes });
  } catch (error) {
    if (!(error instanceof DecodeProblem)) throw error;
    const details = { command: name, field: error.field, reason: error.message };
    if (unreadable !== undefined) throw new GridError('payload_undecodable', { ...details, words: unreadable });
    throw new GridError('payload_invalid', details);
  }
}
