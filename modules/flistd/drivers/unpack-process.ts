/**
 * Reads and unpacks one flist, then ends:
 *
 *     unpack-process --flist FILE --folder DIR --url SHOWN [--allow-file DIR]… [--allow-address CIDR]… [--deny-private]
 *
 * A program of its own, because a stranger wrote what is read here: what goes
 * wrong ends this process alone, and its memory goes with it. It knows no bus
 * and no state folder. It says what the flist needs, waits on its input for
 * permission, and ends when that input does.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { parseArgs } from 'node:util';
import { isGridError } from '../../../schemas/errors/index.ts';
import { AddressGuard } from '../../host/addresses.ts';
import { DEFAULT_LIMITS } from '../format/limits.ts';
import { readFlist } from '../format/read.ts';
import type { Flist } from '../format/tree.ts';
import { AllowedFolders } from './allowed.ts';
import { Router } from './router.ts';
import { unpack } from './unpack.ts';
import type { UnpackReport } from './unpack-report.ts';

const PAGE_BYTES = 4096;

/** Bytes that a tree takes on the host: whole pages, and one for each entry. */
function treeBytes(flist: Flist): number {
  const content = flist.entries.reduce((sum, entry) => sum + Math.ceil(entry.size / PAGE_BYTES) * PAGE_BYTES, 0);
  return content + flist.entries.length * PAGE_BYTES;
}

function report(what: UnpackReport): void {
  const line = Buffer.from(`${JSON.stringify(what)}\n`);
  for (let at = 0; at < line.length; ) at += writeSync(1, line, at);
}

/** Resolves when the daemon has made room; without the daemon there is nothing left to do. */
function permission(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.on('data', () => resolve());
    process.stdin.on('end', () => process.exit(1));
    process.stdin.on('error', () => process.exit(1));
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      flist: { type: 'string', default: '' },
      folder: { type: 'string', default: '' },
      url: { type: 'string', default: '' },
      'allow-file': { type: 'string', multiple: true, default: [] },
      'allow-address': { type: 'string', multiple: true, default: [] },
      'deny-private': { type: 'boolean', default: false },
    },
  });
  const { flist: file, folder, url, 'allow-file': allowed } = values;
  const addresses = { allowed: values['allow-address'], denyPrivate: values['deny-private'] };
  process.title = 'flistd-unpack';
  // The first to go when the host runs out of memory.
  writeFileSync('/proc/self/oom_score_adj', '1000');
  try {
    const flist = readFlist(file, DEFAULT_LIMITS, url);
    report({ kind: 'read', bytes: flist.bytes, treeBytes: treeBytes(flist), entries: flist.entries.length });
    await permission();
    const router = new Router(flist.routes, new AllowedFolders(allowed), new AddressGuard(addresses));
    const { skipped } = await unpack(flist, folder, router, url);
    report({ kind: 'unpacked', skipped });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    report({ kind: 'failed', text, ...(isGridError(error) ? { code: error.code, details: error.details } : {}) });
  }
  flushCompileCache();
  process.exit(0);
}

await main();
