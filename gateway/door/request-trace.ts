/** One request is one trace: its correlation id is the envelope's uid, which the sender knows, too. */
import { endedSpan, traced } from '../../modules/zbus/trace.ts';
import type { AdmittedRequest } from './verdict.ts';

/** Only of requests that were let in: nobody else's name for a trace is believed. `arrivedAt`: milliseconds since 1970. */
export function inRequestTrace<T>(request: AdmittedRequest, arrivedAt: number, work: () => T): T {
  const { uid: trace, command, twin, encrypted } = request;
  const name = `rmb ${command}`;
  const attributes = {
    'rpc.system': 'rmb',
    'rpc.method': command,
    'gridnode.twin': twin.id,
    'gridnode.encrypted': encrypted,
  };
  return traced({ name, kind: 'server', attributes, trace, isFirst: true, startedAt: arrivedAt }, () => {
    endedSpan({ name: 'door checks', trace, startedAt: arrivedAt });
    return work();
  });
}
