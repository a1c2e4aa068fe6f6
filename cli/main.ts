/** What a person types. Each command is one file, loaded when it is asked for. */
import { pathToFileURL } from 'node:url';
import { CliError, type Command } from './command.ts';
import { onReaderGone } from './output.ts';

interface Entry {
  readonly summary: string;
  readonly load: (args: readonly string[]) => Promise<{ command: Command }>;
}

const commands: Record<string, Entry> = {
  demo: { summary: 'run a whole node and a VM on it, once', load: () => import('./commands/demo.ts') },
  up: {
    summary: 'start a node; with --simulate one that needs no root and runs nothing, for trying clients on',
    load: (args) => (args.includes('--simulate') ? import('./commands/up-simulated.ts') : import('./commands/up.ts')),
  },
  down: { summary: 'stop the node; --purge removes every trace', load: () => import('./commands/down.ts') },
  status: { summary: 'what runs', load: () => import('./commands/status.ts') },
  ps: { summary: 'operations: what the node works on, and what waits', load: () => import('./commands/ps.ts') },
  logs: { summary: "a unit's log, or one request's story with --trace", load: () => import('./commands/logs.ts') },
  doctor: { summary: 'can this machine run a node', load: () => import('./commands/doctor.ts') },
  capacity: { summary: 'what the node has, uses and can still take', load: () => import('./commands/capacity.ts') },
  perf: { summary: 'what the node measured of itself; --run measures now', load: () => import('./commands/perf.ts') },
  hash: { summary: 'challenge hash of a deployment file', load: () => import('./commands/hash.ts') },
  validate: {
    summary: 'what a node would say of a deployment file',
    load: () => import('./commands/validate.ts'),
  },
  zbus: { summary: "look at the node's bus, call its modules", load: () => import('./commands/zbus.ts') },
  envelope: {
    summary: 'what an RMB envelope says, and whether it verifies',
    load: () => import('./commands/envelope.ts'),
  },
  token: { summary: 'the same for a token of a relay', load: () => import('./commands/token.ts') },
  flist: { summary: 'pack a folder into a flist', load: () => import('./commands/flist.ts') },
  peer: {
    summary: 'a peer for local programs, in the place of rmb-peer',
    load: () => import('./commands/peer.ts'),
  },
  test: { summary: 'run every test', load: () => import('./commands/test.ts') },
  bench: { summary: 'run the benchmarks', load: () => import('./commands/bench.ts') },
};

/** 128 and the number of SIGPIPE. */
const READER_GONE = 141;

function usage(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `usage: gridnode COMMAND [options]\n\n${lines.join('\n')}\n\ngridnode COMMAND --help tells a command's options.\n`;
}

export async function main(argv: readonly string[]): Promise<number> {
  let goesOnUnheard = false;
  // As the signal of a broken pipe ends other programs, by its status.
  onReaderGone(() => {
    if (!goesOnUnheard) process.exit(READER_GONE);
  });
  const [name = 'help', ...args] = argv;
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return 0;
  }
  const entry = commands[name];
  if (entry === undefined) {
    process.stderr.write(`gridnode: no command '${name}'\n\n${usage()}`);
    return 2;
  }
  const { command } = await entry.load(args);
  if (command.takesHelp !== true && (args.includes('--help') || args.includes('-h'))) {
    process.stdout.write(`${command.usage}\n`);
    return 0;
  }
  goesOnUnheard = command.goesOnUnheard === true;
  return command.run(args);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main(process.argv.slice(2)).then(
    (code) => {
      process.exitCode = code;
      // Sockets of libraries may still hold the loop open; nothing is left to do.
      process.stdout.write('', () => process.exit(code));
    },
    (error: unknown) => {
      const known = error instanceof CliError || (error instanceof Error && 'code' in error);
      process.stderr.write(
        `gridnode: ${known ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
      );
      process.exit(1);
    },
  );
}
