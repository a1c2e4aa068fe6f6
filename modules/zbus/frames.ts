/**
 * The messages on the bus. Keys and their order are the Go library's; keys of
 * ours come after them and only when set, so a Go peer ignores them.
 */
import { decode, encode, encodeInto } from './codec.ts';
import { type RemoteError, WireError } from './errors.ts';
import { any, bytes, type Infer, named, pointer, signed64, slice, str, struct, time, type Wire } from './wire.ts';
import { Writer } from './writer.ts';

export const ObjectID = struct('zbus.ObjectID', { Name: str, Version: str });

export interface Request {
  readonly id: string;
  readonly inputs: readonly Uint8Array[];
  readonly object: Infer<typeof ObjectID>;
  readonly replyTo: string;
  readonly method: string;
  /** Correlation id. */
  readonly trace?: string;
  /** Of the caller's span, where one is kept: the call is part of it. */
  readonly span?: string;
  /** Milliseconds since 1970 after which nobody waits for the answer. */
  readonly deadline?: number;
}

export interface Response {
  readonly id: string;
  /** `null` when the method has no return values or the call was refused. */
  readonly data: Uint8Array | null;
  /** The error the method returned. */
  readonly callError?: { readonly message: string; readonly remote?: RemoteError | undefined } | undefined;
  /** The call never produced a result. */
  readonly protocolError?: string | undefined;
}

const inputs = slice(bytes);
const RequestWire = struct('zbus.Request', {
  ID: str,
  Inputs: inputs,
  Object: ObjectID,
  ReplyTo: str,
  Method: str,
  Trace: any,
  Deadline: any,
  Span: any,
});

const ResponseWire = struct('zbus.Response', {
  ID: str,
  Output: struct('zbus.Output', {
    Data: bytes,
    Error: pointer(struct('zbus.CallError', { Message: str, Code: any, Details: any })),
  }),
  Error: pointer(str),
});

export const WorkerStatus = struct('zbus.WorkerStatus', {
  State: named('zbus.WorkerState', str),
  StartTime: time,
  Action: str,
});

export const Status = struct('zbus.Status', { Objects: slice(ObjectID), Workers: slice(WorkerStatus) });
export type Status = Infer<typeof Status>;

export const STATUS_OBJECT = { Name: 'zbus', Version: '1.0' } as const;
/** Of the status object: asks for the numbers. Libraries that know no methods there answer it with their status. */
export const METRICS_METHOD = 'Metrics';

/** Empty for the answer of a library that knows no numbers. */
export function textOfMetrics(data: Uint8Array): string {
  try {
    return decode(str, data);
  } catch {
    return '';
  }
}

/** `name@version`, or the name alone where there is no version. */
export function objectName(object: { readonly Name: string; readonly Version: string }): string {
  return object.Version === '' ? object.Name : `${object.Name}@${object.Version}`;
}

/** The list that holds calls of an object; channels are the same with `.<Method>`. */
export function queueName(module: string, object: { readonly Name: string; readonly Version: string }): string {
  return `${module}.${objectName(object)}`;
}

export function encodeRequest(request: Request): Buffer {
  const { id, inputs, trace, deadline, span } = request;
  shared.clear();
  const set = [trace, deadline, span].filter((value) => value !== undefined);
  shared.mapHeader(5 + set.length);
  shared.raw(KEY_ID);
  shared.string(id);
  shared.raw(KEY_INPUTS);
  shared.arrayHeader(inputs.length);
  for (const input of inputs) shared.bytes(input);
  shared.raw(targetOf(request));
  if (trace !== undefined) {
    shared.raw(KEY_TRACE);
    shared.string(trace);
  }
  if (deadline !== undefined) {
    shared.raw(KEY_DEADLINE);
    encodeInto(shared, signed64, deadline);
  }
  if (span !== undefined) {
    shared.raw(KEY_SPAN);
    shared.string(span);
  }
  return shared.take();
}

const shared = new Writer(4096);
const [KEY_ID, KEY_INPUTS, KEY_TRACE, KEY_DEADLINE, KEY_SPAN] = ['ID', 'Inputs', 'Trace', 'Deadline', 'Span'].map(
  (key) => encode(str, key),
) as [Buffer, Buffer, Buffer, Buffer, Buffer];

/** What is the same in all calls of one caller to one method: object, where the answer goes, method. */
interface Target {
  readonly name: string;
  readonly version: string;
  readonly replyTo: string;
  readonly bytes: Buffer;
}

const TARGETS_MOST = 512;
/** The last one of each method's name. */
const targets = new Map<string, Target>();

function targetOf({ object, replyTo, method }: Request): Buffer {
  const known = targets.get(method);
  if (known?.replyTo === replyTo && known.name === object.Name && known.version === object.Version) return known.bytes;
  const writer = new Writer();
  writer.string('Object');
  encodeInto(writer, ObjectID, object);
  writer.string('ReplyTo');
  writer.string(replyTo);
  writer.string('Method');
  writer.string(method);
  const bytes = writer.finish();
  if (targets.size >= TARGETS_MOST) targets.clear();
  targets.set(method, { name: object.Name, version: object.Version, replyTo, bytes });
  return bytes;
}

/** @throws WireError */
export function decodeRequest(frame: Uint8Array): Request {
  const read = decode(RequestWire, frame);
  return {
    id: read.ID,
    inputs: read.Inputs.map((input) => input ?? new Uint8Array(0)),
    object: read.Object,
    replyTo: read.ReplyTo,
    method: read.Method,
    ...(typeof read.Trace === 'string' && read.Trace !== '' ? { trace: read.Trace } : {}),
    ...(typeof read.Deadline === 'number' ? { deadline: read.Deadline } : {}),
    ...(isSpanId(read.Span) ? { span: read.Span } : {}),
  };
}

/** Anything else would name a span that is not there. */
function isSpanId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value);
}

export function encodeResponse(response: Response): Buffer {
  const writer = new Writer();
  writer.mapHeader(3);
  writer.string('ID');
  writer.string(response.id);
  writer.string('Output');
  writer.mapHeader(2);
  writer.string('Data');
  encodeInto(writer, bytes, response.data);
  writer.string('Error');
  const failure = response.callError;
  if (failure === undefined) writer.nil();
  else {
    const { message, remote } = failure;
    const details = remote === undefined ? undefined : Buffer.from(JSON.stringify(remote.details ?? null, bigintText));
    writeFields(writer, [
      ['Message', str, message],
      ...optional('Code', str, remote?.code),
      ...optional('Details', bytes, details),
    ]);
  }
  writer.string('Error');
  encodeInto(writer, pointer(str), response.protocolError ?? null);
  return writer.finish();
}

/** @throws WireError */
export function decodeResponse(frame: Uint8Array): Response {
  const { ID, Output, Error: refusal } = decode(ResponseWire, frame);
  const failure = Output.Error;
  return {
    id: ID,
    data: Output.Data,
    // Go callers take an empty text for success; so does this one.
    callError:
      failure === null || failure.Message === ''
        ? undefined
        : { message: failure.Message, remote: remoteOf(failure.Code, failure.Details) },
    protocolError: refusal ?? undefined,
  };
}

function remoteOf(code: unknown, details: unknown): RemoteError | undefined {
  if (typeof code !== 'string' || code === '') return undefined;
  if (!(details instanceof Uint8Array)) return { code, details: null };
  try {
    return { code, details: JSON.parse(Buffer.from(details).toString('utf8')) };
  } catch (error) {
    throw new WireError(`details of error ${code} are not JSON (${String(error)})`, 'Output.Error.Details');
  }
}

function bigintText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

type Field = readonly [name: string, wire: Wire, value: unknown];

function optional(name: string, wire: Wire, value: unknown): Field[] {
  return value === undefined ? [] : [[name, wire, value]];
}

function writeFields(writer: Writer, fields: readonly Field[]): void {
  writer.mapHeader(fields.length);
  for (const [name, wire, value] of fields) {
    writer.string(name);
    encodeInto(writer, wire, value);
  }
}
