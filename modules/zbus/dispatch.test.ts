import { describe, expect, it } from 'vitest';
import { decode, decodeFrom, encode, zero } from './codec.ts';
import { defineInterface, type Service } from './definition.ts';
import { Dispatcher } from './dispatch.ts';
import { decodeResponse, encodeResponse, type Request, type Response } from './frames.ts';
import { IP, NetIPNet, Unit } from './gridtypes.ts';
import { Lanes } from './order.ts';
import { Reader } from './reader.ts';
import { vectors, wireOf } from './testing/vectors.ts';
import * as w from './wire.ts';

const In = w.struct('main.In', { A: w.str, B: w.uint64, C: w.bytes, T: w.time, F: w.float64, Z: w.bool });
const Volume = wireOf('pkg.Volume');
const echo = (wire: w.Wire) => ({ args: { value: wire }, returns: [wire], fails: false }) as const;
const none = (returns: w.Wire[], fails: boolean) => ({ args: {}, returns, fails });

/** The object that was registered on a real Go server to capture the outcomes. */
const echoes = {
  Str: echo(w.str),
  Bool: echo(w.bool),
  Time: echo(w.time),
  U64: echo(w.uint64),
  U8: echo(w.uint8),
  F64: echo(w.float64),
  Bytes: echo(w.bytes),
  Arr: echo(w.fixedBytes(4)),
  Strs: echo(w.slice(w.str)),
  Ptr: echo(w.pointer(In)),
  Any: echo(w.any),
  MapI: echo(w.map(w.named('int', w.int64), w.str)),
  IP: echo(IP),
  IPNet: echo(NetIPNet),
  Unit: echo(Unit),
  Dep: echo(wireOf('gridtypes.Deployment')),
};

const probe = defineInterface({
  module: 'probe',
  object: 'p',
  version: '1.0',
  methods: {
    ...echoes,
    Echo: { args: { value: In }, returns: [In], fails: true },
    Var: { args: { a: w.str, rest: w.uint64 }, returns: [w.str], fails: true, variadic: 'rest' },
    Nothing: none([], false),
    Err: none([], true),
    NilErr: none([], true),
    ValErr: none([w.uint64, w.str], true),
    OneErr: none([Volume], true),
    PanicS: none([w.int], false),
    PanicE: none([], false),
    PanicErr: none([], false),
    Sub: none([w.uint32, wireOf('pkg.SubstrateError')], false),
    Sleep: { args: { duration: w.int64 }, returns: [], fails: true },
    Broken: none([w.slice(wireOf('pkg.BrokenDevice'))], false),
    Mets: none([wireOf('pkg.MachineMetrics')], true),
    Unfit: none([w.uint8], true),
    Silent: none([w.uint8], true),
  },
  streams: {},
});

const same = ({ value }: { value: unknown }): unknown => value;
const fail = (text: unknown) => (): never => {
  throw typeof text === 'string' ? new Error(text) : text;
};

const service = {
  ...Object.fromEntries(Object.keys(echoes).map((name) => [name, same])),
  Echo: same,
  Var: ({ a, rest }: { a: string; rest: bigint[] }) => `${a}[${rest.join(' ')}]`,
  Nothing: () => undefined,
  Err: fail('plain'),
  NilErr: () => undefined,
  ValErr: fail('both'),
  OneErr: fail('one'),
  PanicS: fail('Aaaaah!'),
  PanicE: fail('assignment to entry in nil map'),
  PanicErr: fail('an error'),
  Sub: () => [5, { Err: 'nf', Code: 1n }],
  Sleep: () => undefined,
  Broken: () => [
    { Path: '/dev/sda', Err: 'io' },
    { Path: '/dev/sdb', Err: null },
  ],
  Mets: () => new Map(),
  Unfit: () => 300,
  Silent: fail(new Error('')),
} as unknown as Service<typeof probe>;

const dispatcher = new Dispatcher();
for (const version of ['1.0', '']) {
  const definition = { ...probe, version };
  const name = version === '' ? 'p' : `p@${version}`;
  dispatcher.objects.set(name, { definition, service: service as never, lanes: new Lanes() });
}

async function answer(request: Partial<Request> & { method: string }): Promise<Response> {
  const full: Request = { id: 'A', inputs: [], object: { Name: 'p', Version: '1.0' }, replyTo: 'B', ...request };
  const dispatched = dispatcher.dispatch(full);
  const response =
    'refused' in dispatched
      ? dispatched.refused
      : await dispatched.call.run({ signal: new AbortController().signal, trace: 't' });
  return decodeResponse(encodeResponse(response));
}

function requestOf(call: string): (Partial<Request> & { method: string }) | undefined {
  const strange: Record<string, Partial<Request> & { method: string }> = {
    'object mismatch': { method: 'Str', object: { Name: 'q', Version: '1.0' } },
    'no version object': { method: 'Str', object: { Name: 'p', Version: '' }, inputs: [Buffer.from('a161', 'hex')] },
    'nil Inputs': { method: 'Nothing' },
    'Str(<one input of zero bytes>)': { method: 'Str', inputs: [new Uint8Array(0)] },
    'ID != ReplyTo': { method: 'Str', inputs: [Buffer.from('a161', 'hex')], id: 'AAA' },
  };
  if (strange[call] !== undefined) return strange[call];
  const [, method, inputs] = /^(\w+)\(([0-9a-f,]*)\)$/.exec(call) ?? [];
  if (method === undefined) return undefined;
  const list = inputs === undefined || inputs === '' ? [] : inputs.split(',');
  return { method, inputs: list.map((input) => Buffer.from(input, 'hex')) };
}

/** Go can return a channel or values beside an error, panic with a number, call a stream by name; handlers here cannot. */
const GO_ONLY = /^(Chan|ValErr|PanicI|Ticks)/;

describe('outcomes of calls, as a Go server gives them', () => {
  const outcomes = vectors.go_server_outcomes.filter(({ call }) => !GO_ONLY.test(call));

  it.each(outcomes.map((outcome) => [outcome.call, outcome] as const))('%s', async (call, outcome) => {
    const request = requestOf(call);
    if (request === undefined) throw new Error(`the outcome of ${call} has no request`);
    const response = await answer(request);
    expect(response.protocolError ?? null).toBe(outcome.protocol_error);
    expect(response.callError?.message ?? null).toBe(outcome.call_error);
    expect(response.data === null).toBe(outcome.data_hex === null);
    if (response.data === null || outcome.data_hex === null) return;
    // Nil slices of Go are empty ones here, so the values are compared, not the bytes.
    const returns = probe.methods[request.method as keyof typeof probe.methods].returns as readonly w.Wire[];
    const wires = returns.length === 1 ? returns : [w.any];
    for (const wire of wires) {
      expect(decode(wire, response.data)).toEqual(decode(wire, Buffer.from(outcome.data_hex, 'hex')));
    }
  });

  const echoed = outcomes.filter(({ call, data_hex }) => data_hex !== null && /^\w+\([0-9a-f]+\)$/.test(call));
  it.each(echoed.map(({ call, data_hex }) => [call, data_hex] as const))('%s byte for byte', (call, expected) => {
    const [, method = '', input = ''] = /^(\w+)\(([0-9a-f]+)\)$/.exec(call) ?? [];
    const wire = method === 'Echo' ? In : echoes[method as keyof typeof echoes]?.returns[0];
    if (wire === undefined) return;
    const value = decodeFrom(new Reader(Buffer.from(input, 'hex')), wire, true);
    expect(Buffer.from(encode(wire as w.Wire, value)).toString('hex')).toBe(expected);
  });
});

describe('answers that kill a Go caller are never given', () => {
  it('has data for every result, after success and after failure', async () => {
    for (const [name, method] of Object.entries(probe.methods)) {
      if (method.returns.length === 0) continue;
      const inputs = Object.values(method.args).map((wire) => encode(wire as w.Wire, zero(wire as w.Wire)));
      const response = await answer({ method: name, inputs });
      if (response.protocolError !== undefined) {
        expect(method.fails).toBe(false);
        continue;
      }
      const data = response.data ?? new Uint8Array(0);
      expect(data.length).toBeGreaterThan(0);
      const reader = new Reader(data);
      if (method.returns.length > 1) expect(reader.arrayLength()).toBe(method.returns.length);
      for (const wire of method.returns) decodeFrom(reader, wire, true);
    }
  });

  it('gives an error, not half a value, for a result that does not have its type', async () => {
    const response = await answer({ method: 'Unfit' });
    expect(response.callError?.message).toContain('300 does not fit uint8');
    expect(response.data).toEqual(new Uint8Array([0xcc, 0]));
  });

  it('never sends an empty error text, which is success in Go', async () => {
    expect((await answer({ method: 'Silent' })).callError?.message).toBe('Error');
  });

  it('does not find methods that objects inherit', async () => {
    for (const method of ['constructor', 'toString', '__proto__', 'hasOwnProperty', '']) {
      expect((await answer({ method })).protocolError).toBe('not a function');
    }
  });

  it('carries code and details of a typed error', async () => {
    const error = Object.assign(new Error('no space left'), { code: 'storage_full', details: { free: 1n } });
    const served = { definition: probe, service: { ...service, Err: fail(error) }, lanes: new Lanes() };
    const other = new Dispatcher();
    other.objects.set('p@1.0', served as never);
    const dispatched = other.dispatch({
      id: 'A',
      inputs: [],
      object: { Name: 'p', Version: '1.0' },
      replyTo: 'B',
      method: 'Err',
    });
    if ('refused' in dispatched) throw new Error('refused');
    const response = await dispatched.call.run({ signal: new AbortController().signal, trace: 't' });
    expect(decodeResponse(encodeResponse(response)).callError).toEqual({
      message: 'no space left',
      remote: { code: 'storage_full', details: { free: '1' } },
    });
  });
});
