import { type Status, ZbusError } from '../../modules/zbus/index.ts';
import { type Command, readFlags } from '../command.ts';
import { table } from '../table.ts';
import { busOptions, readSeconds, withBus } from './bus.ts';
import { catalogue } from './catalogue.ts';

const usage = `usage: gridnode zbus list [--state DIR | --broker URL] [--wait SECONDS] [--json]

Asks every known module for its status (--wait, default 3 s, for those that are silent).`;

/** Modules of this software without objects of their own. */
const BESIDE = ['rmb-gateway'];

interface Answer {
  readonly module: string;
  readonly status: Status | undefined;
}

export const command: Command = {
  usage,
  async run(args) {
    const options = { ...busOptions, wait: { type: 'string', default: '3' }, json: { type: 'boolean' } } as const;
    const values = readFlags(args, options, usage);
    const deadlineMs = readSeconds('wait', values.wait);
    const modules = [...new Set([...(await catalogue()).map(({ module }) => module), ...BESIDE])].sort();
    const answers = await withBus(values, (bus) =>
      Promise.all(
        modules.map(async (module): Promise<Answer> => {
          try {
            return { module, status: await bus.status(module, { deadlineMs }) };
          } catch (error) {
            if (error instanceof ZbusError && ['no_such_module', 'deadline', 'busy'].includes(error.kind)) {
              return { module, status: undefined };
            }
            throw error;
          }
        }),
      ),
    );
    process.stdout.write(values.json ? `${JSON.stringify(answers.map(asJson))}\n` : `${asTable(answers)}\n`);
    return 0;
  },
};

function asJson({ module, status }: Answer): object {
  if (status === undefined) return { module, answers: false };
  return {
    module,
    answers: true,
    objects: status.Objects.map(({ Name, Version }) => `${Name}@${Version}`),
    workers: status.Workers.map((worker) => ({
      state: worker.State,
      since: Number(worker.StartTime.seconds),
      ...(worker.Action === '' ? {} : { action: worker.Action }),
    })),
  };
}

function asTable(answers: readonly Answer[]): string {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const rows = answers.map(({ module, status }) => {
    if (status === undefined) return [module, 'silent', '', ''];
    const busy = status.Workers.filter(({ State }) => State === 'busy');
    const [longest] = busy.toSorted((a, b) => Number(a.StartTime.seconds - b.StartTime.seconds));
    const objects = status.Objects.map(({ Name, Version }) => `${Name}@${Version}`).join(', ');
    const action =
      longest === undefined
        ? 'free'
        : `${busy.length} busy, ${nowSeconds - Number(longest.StartTime.seconds)} s in ${longest.Action}`;
    return [module, 'answers', objects || '-', action];
  });
  return table(['module', '', 'objects', 'workers'], rows);
}
