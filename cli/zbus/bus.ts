/** The bus that a command was pointed at. */
import { ZbusClient, ZbusError } from '../../modules/zbus/index.ts';
import { CliError } from '../command.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf } from '../node/layout.ts';
import { requireRunning } from '../node/lifecycle.ts';

export const busOptions = { state: { type: 'string' }, broker: { type: 'string' } } as const;

/** Runs with a client that is closed afterwards; no node, a stopped one and failures of the bus become texts for people. */
export async function withBus<T>(
  values: { readonly state?: string | undefined; readonly broker?: string | undefined },
  work: (bus: ZbusClient) => Promise<T>,
): Promise<T> {
  const layout = layoutOf(values.state);
  if (values.broker === undefined) {
    await loadConfig(layout);
    await requireRunning(layout);
  }
  const broker = values.broker ?? layout.broker;
  const bus = new ZbusClient({ broker });
  try {
    return await work(bus);
  } catch (error) {
    if (!(error instanceof ZbusError)) throw error;
    const code =
      error.remote === undefined
        ? ''
        : `\ncode: ${error.remote.code}\ndetails: ${JSON.stringify(error.remote.details)}`;
    const hint = HINTS[error.kind]?.(broker) ?? '';
    throw new CliError(`${KINDS[error.kind]}: ${error.message}${code}${hint}`);
  } finally {
    await bus.close();
  }
}

const KINDS: Readonly<Record<ZbusError['kind'], string>> = {
  no_such_module: 'no such module',
  busy: 'module busy',
  call_failed: 'call failed',
  bus_lost: 'bus lost',
  deadline: 'no answer in time',
  cancelled: 'cancelled',
  protocol: 'caller and module disagree',
};

const HINTS: Readonly<Partial<Record<ZbusError['kind'], (broker: string) => string>>> = {
  bus_lost: (broker) => `\nthe bus is ${broker}; is the node running? gridnode status tells`,
  deadline: () => '\nwhich parts of the node answer: gridnode doctor',
};

/** Seconds as a person types them. */
export function readSeconds(name: string, text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400))
    throw new CliError(`--${name} ${text} is not a number of seconds from 0 to 86400`);
  return seconds * 1000;
}
