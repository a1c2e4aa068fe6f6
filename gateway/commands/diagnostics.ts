import type { GoTime } from '../../modules/zbus/wire.ts';
import { systemDiagnostics } from '../../schemas/index.ts';
import { type Call, handle } from './handler.ts';

/**
 * Bus modules that this node is made of, under the names existing clients know; one that is not
 * part of it (`container`, `gateway`, `qsfsd`, `identityd`) would be a failure for ever.
 */
const MODULES = ['storage', 'node', 'vmd', 'flist', 'network', 'provision', 'api-gateway'] as const;
const MODULE_DEADLINE_MS = 3_000;
const HEALTH_CHECK = 'healthcheck';

export const diagnosticsHandlers = [
  handle(systemDiagnostics, async (_input, call) => {
    const [modules, healthy] = await Promise.all([
      Promise.all(MODULES.map(async (module) => [module, await moduleStatus(module, call)] as const)),
      isHealthy(call),
    ]);
    return {
      system_status_ok: modules.every(([, { error }]) => error === undefined),
      modules: Object.fromEntries(modules),
      healthy,
    };
  }),
];

async function moduleStatus(module: string, { node, signal }: Call) {
  try {
    const { Objects, Workers } = await node.status(module, { deadlineMs: MODULE_DEADLINE_MS, signal });
    const workers = Workers.map(({ State, StartTime, Action }) => ({
      state: State,
      time: timeText(StartTime),
      action: Action,
    }));
    return { status: { objects: Objects, workers }, error: undefined };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Error)) throw error;
    return { status: { objects: [], workers: [] }, error: {} };
  }
}

/** As on existing nodes: not before a check has run, and not while its result is not to be had. */
async function isHealthy({ node, signal }: Call): Promise<boolean> {
  const asking = { deadlineMs: MODULE_DEADLINE_MS, signal };
  const result = await node.performance.Get({ taskName: HEALTH_CHECK }, asking).then(
    ({ Result }) => Result,
    () => undefined,
  );
  if (typeof result !== 'object' || result === null) return false;
  const findings: unknown[] = result instanceof Map ? [...result.values()] : Object.values(result);
  return findings.every((list) => list === null || (Array.isArray(list) && list.length === 0));
}

/** RFC 3339, with the fraction that a Go node would write. */
function timeText({ seconds, nanoseconds }: GoTime): string {
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, -5);
  const fraction = String(nanoseconds).padStart(9, '0').replace(/0+$/, '');
  return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}
