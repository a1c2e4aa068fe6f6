/** The serving side of the zbus benchmark, a process of its own: `node zbus.ts zbus|plain BROKER`. */
import { Redis } from 'ioredis';
import { defineInterface } from '../../../modules/zbus/definition.ts';
import { Dispatcher } from '../../../modules/zbus/dispatch.ts';
import { decodeRequest, encodeResponse } from '../../../modules/zbus/frames.ts';
import { Lanes } from '../../../modules/zbus/order.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';
import { float64 } from '../../../modules/zbus/wire.ts';

export const calculator = defineInterface({
  module: 'server',
  object: 'calculator',
  version: '1.0',
  methods: { Add: { args: { a: float64, b: float64 }, returns: [float64], fails: false, order: 'read' } },
  streams: {},
});
export const PLAIN_QUEUE = 'plain.calculator@1.0';

const service = { Add: ({ a, b }: { a: number; b: number }) => a + b };

async function serveZbus(broker: string): Promise<void> {
  const server = new ZbusServer({ module: 'server', broker });
  server.serve(calculator, service);
  await server.start();
  process.stdout.write('ready\n');
}

/** As the Go server works: one pop at a time, one answer at a time, on lasting connections. */
async function servePlain(path: string): Promise<void> {
  const pops = new Redis({ path, protocol: 2 });
  const answers = new Redis({ path, protocol: 2 });
  const dispatcher = new Dispatcher();
  dispatcher.objects.set('calculator@1.0', { definition: calculator, service, lanes: new Lanes() });
  const context = { signal: new AbortController().signal, trace: '' };
  process.stdout.write('ready\n');
  for (;;) {
    const found = await pops.blpopBuffer(PLAIN_QUEUE, 10);
    if (found === null) continue;
    const request = decodeRequest(found[1]);
    const dispatched = dispatcher.dispatch(request);
    const response = 'call' in dispatched ? await dispatched.call.run(context) : dispatched.refused;
    const frame = encodeResponse(response);
    await Promise.all([answers.rpush(request.replyTo, frame), answers.expire(request.replyTo, 300)]);
  }
}

const [, script, kind, broker] = process.argv;
if (script === import.meta.filename && broker !== undefined) {
  if (kind === 'zbus') await serveZbus(broker);
  else await servePlain(new URL(broker).pathname);
}
