/** The process `provisiond`. */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runDaemon } from '../modules/zbus/daemon.ts';
import { CONTRACT_WATCH_LIMITS } from './engine/contracts.ts';
import { ENGINE_LIMITS } from './engine/steps.ts';
import { startProvisiond } from './provisiond.ts';

/** vCPUs sold for each logical CPU unless `--cpu-overcommit` says otherwise. */
const DEFAULT_CPU_OVERCOMMIT = 4;
const DEFAULT_CONTRACT_WAIT_SECONDS = 9;

function positive(flag: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new Error(`provisiond: --${flag} takes a number above 0, not '${text}'`);
  return value;
}

// By itself V8 lets garbage grow to several times of what a node's ten thousand deployments take.
setFlagsFromString('--heap-growing-percent=30');

await runDaemon({
  name: 'provisiond',
  module: 'provision',
  options: [
    'kernel',
    'initrd',
    'cpu-overcommit',
    'contract-wait-seconds',
    'contract-sync-seconds',
    'retry-seconds',
    'kyc-url',
  ],
  // Those who wait for a deployment have a place each for as long as they wait.
  concurrency: 128,
  start: async ({ server, bus, log, metrics, root, state, options, signal }) => {
    const syncSeconds = positive(
      'contract-sync-seconds',
      options['contract-sync-seconds'],
      CONTRACT_WATCH_LIMITS.intervalMs / 1000,
    );
    const retrySeconds = positive('retry-seconds', options['retry-seconds'], ENGINE_LIMITS.retry.budgetMs / 1000);
    const daemon = startProvisiond({
      server,
      bus,
      log,
      metrics,
      root,
      ending: signal,
      guest: {
        kernel: options.kernel ?? join(state, 'guest', 'vmlinuz'),
        initrd: options.initrd ?? join(state, 'guest', 'initrd.img'),
      },
      cpuOvercommit: positive('cpu-overcommit', options['cpu-overcommit'], DEFAULT_CPU_OVERCOMMIT),
      contractWaitMs:
        positive('contract-wait-seconds', options['contract-wait-seconds'], DEFAULT_CONTRACT_WAIT_SECONDS) * 1000,
      ...(options['kyc-url'] === undefined ? {} : { kycUrl: options['kyc-url'] }),
      engineLimits: { ...ENGINE_LIMITS, retry: { ...ENGINE_LIMITS.retry, budgetMs: retrySeconds * 1000 } },
      contractLimits: { ...CONTRACT_WATCH_LIMITS, intervalMs: syncSeconds * 1000 },
    });
    return () => daemon.stop();
  },
});
