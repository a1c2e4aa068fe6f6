/** A whole node for a benchmark, taken away again also when the benchmark is interrupted. */
import type { Wishes } from '../../../cli/node/start.ts';
import { startTestNode, type TestNode } from '../../system/test-node.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const INTERRUPTED = 130;

/** Runs `work` on a node of its own. What is given to `closing` is called once, last first, before the node stops. */
export async function withNode<T>(
  wishes: Partial<Wishes>,
  work: (node: TestNode, closing: (close: () => Promise<void>) => void) => Promise<T>,
): Promise<T> {
  const closers: (() => Promise<void>)[] = [];
  const starting = startTestNode(wishes);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      for (const close of closers.reverse()) await close().catch(() => undefined);
      // A node that did not start has cleaned up after itself.
      await (await starting.catch(() => undefined))?.stop();
    })();
    return stopping;
  };
  const interrupted = (): void => {
    stop().then(
      () => process.exit(INTERRUPTED),
      () => process.exit(INTERRUPTED),
    );
  };
  for (const signal of SIGNALS) process.on(signal, interrupted);
  try {
    return await work(await starting, (close) => closers.push(close));
  } finally {
    await stop();
    for (const signal of SIGNALS) process.off(signal, interrupted);
  }
}
