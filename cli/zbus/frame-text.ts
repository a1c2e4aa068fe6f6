/** Requests, answers and events between their frames and JSON, for authors of modules. */
import { readFile } from 'node:fs/promises';
import { decodeReturns } from '../../modules/zbus/call-values.ts';
import { decode, encode } from '../../modules/zbus/codec.ts';
import { encodeReturns } from '../../modules/zbus/dispatch.ts';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../../modules/zbus/frames.ts';
import type { InterfaceDefinition, MethodDefinition, Wire } from '../../modules/zbus/index.ts';
import { WireError } from '../../modules/zbus/index.ts';
import { CliError } from '../command.ts';
import { catalogue, fullName } from './catalogue.ts';
import { fromJson, jsonOf, parseExact } from './notation.ts';

/** Arguments as JSON texts to values by name; the last one of a variadic method takes all that are left. */
export function readArguments(
  call: string,
  method: MethodDefinition,
  texts: readonly string[],
): Record<string, unknown> {
  const parameters = Object.entries(method.args);
  const least = parameters.length - (method.variadic === undefined ? 0 : 1);
  if (texts.length < least || (method.variadic === undefined && texts.length > least)) {
    const wanted = parameters.map(([name, { go }]) => `${name}${name === method.variadic ? '…' : ''} (${go})`);
    throw new CliError(`${call} takes ${wanted.join(', ') || 'no arguments'}; there are ${texts.length}`);
  }
  return Object.fromEntries(
    parameters.map(([name, wire], index) => [
      name,
      name === method.variadic
        ? texts.slice(index).map((text) => readValue(name, wire, text))
        : readValue(name, wire, texts[index] as string),
    ]),
  );
}

export function readValue(name: string, wire: Wire, text: string): unknown {
  let json: unknown;
  try {
    json = parseExact(text);
  } catch {
    const hint = wire.kind === 'string' ? `; a text needs its quotes: '${JSON.stringify(text)}'` : '';
    throw new CliError(`${name} is not JSON: ${text}${hint}`);
  }
  return refusing(() => fromJson(wire, json, name));
}

/** Runs what throws `WireError`; a person gets its text. */
export function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof WireError) throw new CliError(error.message);
    throw error;
  }
}

export interface RequestText {
  readonly id: string;
  readonly replyTo: string;
  readonly trace?: string;
  readonly deadline?: number;
}

export function requestFrame(
  definition: InterfaceDefinition,
  name: string,
  method: MethodDefinition,
  args: Record<string, unknown>,
  envelope: RequestText,
): Buffer {
  const inputs = refusing(() =>
    Object.entries(method.args).flatMap(([arg, wire]) =>
      (arg === method.variadic ? (args[arg] as unknown[]) : [args[arg]]).map((value) => encode(wire, value)),
    ),
  );
  return encodeRequest({
    ...envelope,
    inputs,
    object: { Name: definition.object, Version: definition.version },
    method: name,
  });
}

export function answerFrame(
  method: MethodDefinition,
  results: readonly unknown[],
  answer: { readonly id: string; readonly error?: string | undefined; readonly protocolError?: string | undefined },
): Buffer {
  const { id, error, protocolError } = answer;
  if (protocolError !== undefined) return encodeResponse({ id, data: null, protocolError });
  const data = refusing(() => encodeReturns(method, method.returns.length === 1 ? results[0] : results));
  return encodeResponse({ id, data, callError: error === undefined ? undefined : { message: error } });
}

/** Hex as an argument, or a file with hex or the frame itself; `-` is standard input. */
export async function readFrame(source: string | undefined): Promise<Buffer> {
  if (source === undefined) throw new CliError('a frame is missing: hex, a file, or - for standard input');
  const hex = hexOf(source);
  if (hex !== undefined) return hex;
  const content = await readFile(source === '-' ? '/dev/stdin' : source).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(`'${source.slice(0, 60)}' is neither hex nor a file that can be read (${error.code})`);
  });
  return hexOf(content.toString('latin1').trim()) ?? content;
}

function hexOf(text: string): Buffer | undefined {
  const digits = text.replace(/^0x/i, '').replace(/\s+/g, '');
  return digits.length > 0 && digits.length % 2 === 0 && /^[0-9a-f]+$/i.test(digits)
    ? Buffer.from(digits, 'hex')
    : undefined;
}

/** A request as JSON. Its frame names object and method, not the module: the arguments are read where one fits. */
export async function requestJson(frame: Buffer, wanted: InterfaceDefinition | undefined): Promise<unknown> {
  const request = refusing(() => decodeRequest(frame));
  const { Name, Version } = request.object;
  const fitting = (wanted === undefined ? await catalogue() : [wanted]).filter(
    ({ object, version, methods }) => object === Name && version === Version && Object.hasOwn(methods, request.method),
  );
  const [definition, ...more] = fitting;
  const method = more.length === 0 ? definition?.methods[request.method] : undefined;
  const common = {
    id: request.id,
    object: `${Name}@${Version}`,
    method: request.method,
    replyTo: request.replyTo,
    ...(request.trace === undefined ? {} : { trace: request.trace }),
    ...(request.deadline === undefined ? {} : { deadline: request.deadline }),
  };
  if (method === undefined || definition === undefined) {
    const why =
      fitting.length === 0
        ? 'no interface here has this object and method'
        : `several modules have it, name one with --object: ${fitting.map(fullName).join(', ')}`;
    return { ...common, inputs: request.inputs.map(toHex), note: why };
  }
  return { ...common, queue: fullName(definition), args: argumentsJson(method, request.inputs) };
}

function argumentsJson(method: MethodDefinition, inputs: readonly Uint8Array[]): Record<string, unknown> {
  const parameters = Object.entries(method.args);
  const json = (index: number, wire: Wire): unknown => {
    const input = inputs[index];
    if (input === undefined) return { missing: true, type: wire.go };
    try {
      return jsonOf(wire, decode(wire, input));
    } catch (error) {
      return { hex: toHex(input), type: wire.go, problem: (error as Error).message };
    }
  };
  const read = Object.fromEntries(
    parameters.map(([name, wire], index) => [
      name,
      name === method.variadic ? inputs.slice(index).map((_, more) => json(index + more, wire)) : json(index, wire),
    ]),
  );
  const extra = method.variadic === undefined ? inputs.slice(parameters.length) : [];
  return extra.length === 0 ? read : { ...read, tooMany: extra.map(toHex) };
}

export function answerJson(frame: Buffer, method: MethodDefinition | undefined): unknown {
  const { id, data, callError, protocolError } = refusing(() => decodeResponse(frame));
  const common = {
    id,
    ...(callError === undefined ? {} : { error: callError.message }),
    ...(callError?.remote === undefined ? {} : { code: callError.remote.code, details: callError.remote.details }),
    ...(protocolError === undefined ? {} : { protocolError }),
  };
  if (method === undefined) return { ...common, data: data === null ? null : toHex(data) };
  if (data === null && method.returns.length > 0) return { ...common, results: null };
  const value = refusing(() => decodeReturns(method, data));
  const values = method.returns.length === 1 ? [value] : ((value as unknown[] | undefined) ?? []);
  return { ...common, results: method.returns.map((wire, index) => jsonOf(wire, values[index])) };
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
