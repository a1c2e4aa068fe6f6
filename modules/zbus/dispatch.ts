/** From a request to its response: objects, arguments, the handler, errors in Go's words. */
import { decode, encode, encodeInto, zeroOf } from './codec.ts';
import type { CallContext, InterfaceDefinition, MethodDefinition } from './definition.ts';
import { INTERRUPTED, isZbusError, type RemoteError } from './errors.ts';
import { objectName, type Request, type Response } from './frames.ts';
import type { Lanes, Turn } from './order.ts';
import { Writer } from './writer.ts';

export interface ServedObject {
  readonly definition: InterfaceDefinition;
  readonly service: Readonly<Record<string, unknown>>;
  readonly lanes: Lanes;
}

type Handler = (args: Record<string, unknown>, context: CallContext) => unknown;

/** A call whose object, method and arguments are known. */
export interface Call {
  /** `[object@version].Method()`, as the status lists it. */
  readonly action: string;
  readonly lanes: Lanes;
  readonly turn: Turn;
  /** Runs the handler; never rejects. */
  run(context: CallContext): Promise<Response>;
}

export type Dispatched = { readonly refused: Response } | { readonly call: Call };

export class Dispatcher {
  readonly objects = new Map<string, ServedObject>();

  dispatch(request: Request): Dispatched {
    const name = objectName(request.object);
    const served = this.objects.get(name);
    if (served === undefined) return refuse(request, 'unknown object');
    const { definition, service, lanes } = served;
    const method = Object.hasOwn(definition.methods, request.method) ? definition.methods[request.method] : undefined;
    if (method === undefined) return refuse(request, 'not a function');
    const read = readArguments(method, request.inputs);
    if ('refusal' in read) return refuse(request, read.refusal);
    const handler = service[request.method] as Handler;
    return {
      call: {
        action: `[${name}].${request.method}()`,
        lanes,
        turn: turnOf(method, read.args),
        run: async (context) => {
          try {
            const result = await handler.call(service, read.args, context);
            return { id: request.id, data: encodeReturns(method, result) };
          } catch (error) {
            return failed(request, name, method, error);
          }
        },
      },
    };
  }

  /** A call that is answered without having run: an error with the zero values of its results. */
  notRun(request: Request, message: string): Response {
    return this.refused(request, message, { code: INTERRUPTED, details: { reason: message } });
  }

  /** An error of the call with the zero values of its results, which a Go caller reads too. */
  refused(request: Request, message: string, remote?: RemoteError): Response {
    const method = this.objects.get(objectName(request.object))?.definition.methods[request.method];
    return { id: request.id, data: method === undefined ? null : zeroReturns(method), callError: { message, remote } };
  }
}

function refuse(request: Request, protocolError: string): Dispatched {
  return { refused: { id: request.id, data: null, protocolError } };
}

/** An error a method cannot return in Go crosses as the panic it would be there. */
function failed(request: Request, name: string, method: MethodDefinition, error: unknown): Response {
  const message = errorText(error);
  if (method.fails) {
    return { id: request.id, data: zeroReturns(method), callError: { message, remote: remoteOf(error) } };
  }
  const protocolError = `remote method call ${name}.${request.method}() paniced: ${message}`;
  return { id: request.id, data: null, protocolError };
}

/** Never empty: an empty text is success to a Go caller. */
function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error) || 'unknown error';
  return error.message || error.name || 'unknown error';
}

/** What crosses the bus of an error beside its text; of one that came from the bus, what came with it. */
export function remoteOf(error: unknown): RemoteError | undefined {
  if (isZbusError(error)) {
    if (error.kind === 'call_failed') return error.remote;
    // The method could not ask another module: asked again, it may.
    return error.kind === 'protocol' ? undefined : { code: INTERRUPTED, details: { reason: error.message } };
  }
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return 'details' in error ? { code: error.code, details: error.details } : undefined;
}

function readArguments(
  method: MethodDefinition,
  inputs: readonly Uint8Array[],
): { args: Record<string, unknown> } | { refusal: string } {
  const parameters = Object.entries(method.args);
  const variadic = method.variadic === undefined ? undefined : parameters.pop();
  const tooMany = variadic === undefined && inputs.length > parameters.length;
  if (inputs.length < parameters.length || tooMany) {
    return { refusal: `invalid number of arguments expecting ${parameters.length} got ${inputs.length}` };
  }
  const args: Record<string, unknown> = {};
  for (const [index, [name, wire]] of parameters.entries()) {
    try {
      args[name] = decode(wire, inputs[index] ?? new Uint8Array(0));
    } catch {
      return { refusal: `invalid argument type [${index}] expecting ${wire.go} got` };
    }
  }
  if (variadic === undefined) return { args };
  const [name, wire] = variadic;
  const values: unknown[] = [];
  for (const [index, input] of inputs.slice(parameters.length).entries()) {
    try {
      values.push(decode(wire, input));
    } catch {
      // Go counts the fixed arguments twice here.
      return { refusal: `invalid argument type [${2 * parameters.length + index}] expecting ${wire.go}` };
    }
  }
  args[name] = values;
  return { args };
}

function turnOf(method: MethodDefinition, args: Record<string, unknown>): Turn {
  const order = method.order ?? 'object';
  if (typeof order === 'string') return order;
  let value: unknown = args;
  for (const step of order.by.split('.')) value = (value as Record<string, unknown> | null | undefined)?.[step];
  return { key: value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value) };
}

/** The results as one value or a tuple; `null` where there are none. */
export function encodeReturns(method: MethodDefinition, result: unknown): Uint8Array | null {
  const [only, ...more] = method.returns;
  if (only === undefined) return null;
  if (more.length === 0) return encode(only, result);
  const values = result as readonly unknown[];
  const writer = new Writer();
  writer.arrayHeader(method.returns.length);
  for (const [index, wire] of method.returns.entries()) encodeInto(writer, wire, values[index]);
  return writer.finish();
}

/** A Go caller decodes the results of a failed call too, so they are always there. */
function zeroReturns(method: MethodDefinition): Uint8Array | null {
  const values = method.returns.map((wire) => zeroOf(wire, true));
  return encodeReturns(method, values.length === 1 ? values[0] : values);
}
