import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { usage } from '../../gateway/local/options.ts';
import type { Command } from '../command.ts';
import { checkout } from '../node/layout.ts';

export const command: Command = {
  usage,
  async run(args) {
    // Descriptors above 2 may hold the key.
    const keyFd = /(?:^| )--key-fd[= ](\d{1,3})(?: |$)/.exec(args.join(' '))?.[1];
    const most = Number(keyFd ?? 2);
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
