/** A server of ours that takes calls and does not answer: `node slow-server.ts BROKER`. Says `taken` of each. */
import { once } from 'node:events';
import { flist } from '../../../modules/flistd/interface.ts';
import type { Service } from '../../../modules/zbus/definition.ts';
import { ZbusServer } from '../../../modules/zbus/server.ts';

const [, script, broker] = process.argv;
if (script === import.meta.filename && broker !== undefined) {
  const server = new ZbusServer({ module: flist.module, broker });
  const silent = async (_args: unknown, { signal }: { signal: AbortSignal }): Promise<never> => {
    process.stdout.write('{"msg":"taken"}\n');
    await once(signal, 'abort');
    throw new Error('ended');
  };
  const service = Object.fromEntries(Object.keys(flist.methods).map((name) => [name, silent]));
  server.serve(flist, service as unknown as Service<typeof flist>);
  await server.start();
  process.stdout.write('{"msg":"ready"}\n');
}
