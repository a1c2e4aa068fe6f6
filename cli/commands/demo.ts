import { setTimeout as sleep } from 'node:timers/promises';
import { CliError, type Command, readFlags } from '../command.ts';
import { type DemoResult, demoFolder, runDemo } from '../demo/run.ts';
import { Stages } from '../demo/stages.ts';
import { UserNetwork } from '../demo/user-network.ts';
import { type Layout, makeLayout } from '../node/layout.ts';
import { stopNode } from '../node/lifecycle.ts';
import { checkEmpty } from '../node/ownership.ts';
import { findTraces } from '../node/traces.ts';
import { parseSize } from '../table.ts';
import { capacityTable } from './capacity.ts';

const usage = `usage: gridnode demo [--json] [--keep] [--state DIR] [--pool-size SIZE] [--accel auto|kvm|tcg]

Starts a whole node in namespaces of its own, deploys a machine on it as a grid
client would, shows the machine's web page, cancels the contract and takes
everything away again. Ctrl-C at any moment does the last part at once.

  --json   one JSON object at the end: stages, page, capacity, leaks
  --keep   leave node and machine running and say how to talk to them`;

const GREETING = 'Hello from a machine on gridnode';

const options = {
  json: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  state: { type: 'string' },
  'pool-size': { type: 'string', default: '4G' },
  accel: { type: 'string', default: 'auto' },
} as const;

export const command: Command = {
  usage,
  goesOnUnheard: true,
  async run(args) {
    const values = readFlags(args, options, usage);
    if (process.getuid?.() !== 0)
      throw new CliError(
        "the demo needs root: networks, pools and machines are the kernel's; try: sudo ./gridnode demo",
      );
    const poolSize = parseSize(values['pool-size']);
    if (poolSize === undefined) throw new CliError(`--pool-size ${values['pool-size']} is not a size; write 4G`);
    const { accel } = values;
    if (accel !== 'auto' && accel !== 'kvm' && accel !== 'tcg')
      throw new CliError(`--accel ${accel}: use auto, kvm or tcg`);
    const layout = makeLayout(values.state ?? demoFolder());
    checkEmpty(layout.state);
    const stages = new Stages({ quiet: values.json });
    const stopping = new AbortController();
    const interrupt = (): void => stopping.abort(new CliError('interrupted'));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

    let result: DemoResult | undefined;
    let failure: unknown;
    try {
      result = await untilAborted(
        runDemo({
          layout,
          wishes: { isolated: true, poolSize, devices: [], accel, flistFolder: null, logLevel: 'info' },
          stages,
          signal: stopping.signal,
          keep: values.keep,
          greeting: GREETING,
        }),
        stopping.signal,
      );
    } catch (error) {
      failure = error;
    }
    // What failed is kept, too: it is there to be looked at. An interrupted demo is not.
    if (values.keep && !stopping.signal.aborted) {
      if (result !== undefined) report(values.json, stages, result, null);
      if (!values.json) stages.say(howToTalk(layout));
      if (failure !== undefined) throw failure;
      return 0;
    }
    const traces = await cleanUp(layout, stages);
    if (failure !== undefined) throw failure;
    if (result === undefined) return 1;
    const leaks = [...(result.left ?? []), ...traces];
    report(values.json, stages, result, leaks);
    return leaks.length === 0 ? 0 : 1;
  },
};

/** How long an interrupted demo may take to let go of what it is doing. */
const LET_GO_MS = 15_000;

/**
 * The work's result, or the reason of its abort. Clean-up must not begin while
 * the work may still start something, so it is given time to notice.
 */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const settled = work.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([settled, aborted]);
  if (!signal.aborted) return work;
  await Promise.race([settled, sleep(LET_GO_MS)]);
  throw signal.reason as Error;
}

async function cleanUp(layout: Layout, stages: Stages): Promise<string[]> {
  await stages.run('clean up', async (note) => {
    await new UserNetwork(layout).leave();
    await stopNode(layout, { purge: true, onStep: note });
  });
  return findTraces(layout);
}

function report(json: boolean, stages: Stages, result: DemoResult, leaks: readonly string[] | null): void {
  if (json) {
    const { page, capacity } = result;
    process.stdout.write(
      `${JSON.stringify({ stages: stages.times, page, capacity, leaks: leaks?.length ?? null, left: leaks })}\n`,
    );
    return;
  }
  const { before, during, after } = result.capacity;
  const sections = [
    ['the page', result.page.trim()],
    ['capacity before', capacityTable(before)],
    ['capacity with the machine', capacityTable(during)],
    ...(after === null ? [] : [['capacity after', capacityTable(after)]]),
  ];
  for (const [title, text] of sections) process.stdout.write(`\n--- ${title}\n${text}\n`);
  if (leaks === null) return;
  process.stdout.write(
    leaks.length === 0
      ? '\nnothing is left behind\n'
      : `\nleft behind:\n${leaks.map((line) => `  ${line}\n`).join('')}`,
  );
}

function howToTalk(layout: Layout): string {
  return [
    '',
    'The node goes on. Talk to it:',
    `  ./gridnode status --state ${layout.state}`,
    `  ./gridnode capacity --state ${layout.state}`,
    `  ./gridnode logs provisiond --follow --state ${layout.state}`,
    `  ip netns exec gnu-${layout.id} bash -c 'exec 3<>/dev/tcp/10.20.2.2/80; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3'`,
    'Take it away:',
    `  ./gridnode down --purge --state ${layout.state}`,
  ].join('\n');
}
