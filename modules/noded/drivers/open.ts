/** The driver for this machine. */
import type { Host } from './host.ts';
import { linuxHost } from './linux.ts';
import { portableHost } from './portable.ts';

export function openHost(): Host {
  return process.platform === 'linux' ? linuxHost() : portableHost();
}
