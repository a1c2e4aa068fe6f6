import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Command } from '../command.ts';
import { checkout } from '../node/layout.ts';

const usage = `usage: gridnode peer --key-file FILE [options]

Runs a peer in the place of rmb-peer: programs that use its Redis queues call
other twins and serve them. It stays in the foreground; SIGTERM ends it.

  --key-file FILE       key of the twin, or --key-env NAME, or --key-fd NUMBER
  -r, --redis URL       default redis://localhost:6379
  -s, --substrate URL   the chain, default wss://tfchain.grid.tf:443
  --relay URL           at most 4, default wss://relay.grid.tf:443
  --serve COMMAND,...   commands that local services answer

docs/local-services.md has all flags and what goes through the queues.`;

export const command: Command = {
  usage,
  async run(args) {
    // Descriptors above 2 may hold the key.
    const keyFd = /^\d{1,3}$/.exec(args[args.indexOf('--key-fd') + 1] ?? '')?.[0];
    const most = args.includes('--key-fd') && keyFd !== undefined ? Number(keyFd) : 2;
    const child = spawn(process.execPath, [join(checkout, 'gateway/local/main.ts'), ...args], {
      stdio: Array.from({ length: Math.max(3, most + 1) }, (_, fd) => (fd <= 2 || fd === most ? 'inherit' : 'ignore')),
    });
    const pass = (signal: NodeJS.Signals): void => {
      child.kill(signal);
    };
    process.on('SIGTERM', pass);
    process.on('SIGINT', pass);
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    process.off('SIGTERM', pass);
    process.off('SIGINT', pass);
    return code ?? (signal === null ? 1 : 128);
  },
};
