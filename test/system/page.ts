/** A machine's page, fetched from the node's end of its private network. */
import { setTimeout as sleep } from 'node:timers/promises';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { run } from '../../modules/host/run.ts';
import { networkId } from '../../schemas/index.ts';
import type { TestNode } from './test-node.ts';

const HTTP_GET = 'exec 3<>"/dev/tcp/$0/80"; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3';
const ATTEMPT_MS = 3_000;

/** Asked for until it is served. Throws the last attempt's failure at the deadline. */
export async function machinePage(
  node: TestNode,
  place: { readonly twin: number; readonly network: string; readonly address: string },
  deadlineMs = 120_000,
): Promise<string> {
  const until = Date.now() + deadlineMs;
  for (;;) {
    const supervisor = await supervisorOf(node.layout);
    try {
      const inside = ['--target', `${supervisor?.pid}`, '--mount', '--net', '--root'];
      const namespace = `n-${networkId(place.twin, place.network)}`;
      const { stdout } = await run(
        'nsenter',
        [...inside, 'ip', 'netns', 'exec', namespace, 'bash', '-c', HTTP_GET, place.address],
        { deadlineMs: ATTEMPT_MS },
      );
      const [head = '', body = ''] = stdout.split('\r\n\r\n', 2);
      if (/^HTTP\/1\.\d 200 /.test(head)) return body;
      throw new Error(head);
    } catch (error) {
      if (Date.now() > until) throw error;
      await sleep(200);
    }
  }
}
