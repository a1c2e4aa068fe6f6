/** The codec's part of the zbus benchmark: processor time alone, no broker. */
import { encodeInputs } from '../../../modules/zbus/call-values.ts';
import { decode, encode } from '../../../modules/zbus/codec.ts';
import { encodeRequest } from '../../../modules/zbus/frames.ts';
import { provision } from '../../../provision/interface.ts';
import { Samples } from '../../interop/zbus/sample.ts';
import { calculator } from './zbus.ts';

const ROUNDS = 7;
const ROUND_MS = 150;
const BATCH = 1000;
const WORKLOADS = 1000;
const DECODES = 5;

/** Milliseconds of processor time: what else the machine does is not this process's work. */
function spentMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

/** Requests with two arguments a second, from the arguments to the frame; the best of several rounds. */
export function encodesPerSecond(): number {
  const id = '7cbe2ef5-6c4c-4d1f-9a55-0f9a3c1c4d51';
  const replyTo = '0d5a3bd0-53a7-4f39-8cf1-7e40a5f4e7c2';
  const object = { Name: calculator.object, Version: calculator.version };
  const method = calculator.methods.Add;
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage();
    let count = 0;
    let bytes = 0;
    while (spentMs(started) < ROUND_MS) {
      for (let each = 0; each < BATCH; each++) {
        const inputs = encodeInputs('server.calculator@1.0.Add', method, { a: count, b: each });
        bytes += encodeRequest({ id, inputs, object, replyTo, method: 'Add' }).length;
        count++;
      }
    }
    if (bytes < count) throw new Error('requests without bytes');
    best = Math.max(best, count / (spentMs(started) / 1000));
  }
  return Math.round(best);
}

/** Milliseconds for `provision.List`'s answer of a deployment with a thousand workloads; the best of several rounds. */
export function decodeListMs(): number {
  const [wire] = provision.methods.List.returns;
  const samples = new Samples(7);
  const [deployment] = samples.of(wire) as Array<{ Workloads: unknown[] }>;
  if (deployment === undefined) throw new Error('a list without a deployment');
  const [workload] = deployment.Workloads;
  const frame = encode(wire, [
    { ...deployment, Workloads: Array.from({ length: WORKLOADS }, () => workload) },
  ] as never);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS * DECODES; round++) {
    const started = process.cpuUsage();
    const [read] = decode(wire, frame) as Array<{ Workloads: unknown[] }>;
    if (read?.Workloads.length !== WORKLOADS) throw new Error('workloads were lost');
    best = Math.min(best, spentMs(started));
  }
  return best;
}
