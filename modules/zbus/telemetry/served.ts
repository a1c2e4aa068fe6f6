/** A call that is run for somebody: part of the caller's trace, and a number. */
import type { Request, Response } from '../frames.ts';
import { traced, untraced } from '../trace.ts';
import type { BusMeter, CallOutcome } from './meter.ts';

interface Served {
  readonly module: string;
  readonly request: Request;
  readonly trace: string;
  readonly meter: BusMeter | undefined;
  /** Aborted when nobody waits for the call any more. */
  readonly ended: AbortSignal;
}

export async function served({ module, request, trace, meter, ended }: Served, run: () => Promise<Response>) {
  const { object, method, span: parent } = request;
  const began = performance.now();
  const name = `${module}.${object.Name}.${method}`;
  const attributes = { 'rpc.system': 'zbus', 'rpc.method': name, 'gridnode.module': module };
  // Of a caller that keeps no span this one would be a beginning without an end.
  const response =
    parent === undefined
      ? await untraced(trace, run)
      : await traced({ name: `serve ${name}`, kind: 'server', attributes, trace, parent }, run);
  meter?.answered(`${object.Name}.${method}`, outcomeOf(response, ended), (performance.now() - began) / 1000);
  return response;
}

function outcomeOf({ callError, protocolError }: Response, ended: AbortSignal): CallOutcome {
  if (ended.aborted) return 'cancelled';
  if (protocolError !== undefined) return 'protocol';
  return callError === undefined ? 'ok' : 'error';
}
