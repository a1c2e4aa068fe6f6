import { SignatureVerifier, type TwinKey } from '../../gateway/rmb/index.ts';
import {
  type Deployment,
  type Formula,
  GridError,
  type Operation,
  planUpgrade,
  validateDeployment,
  verifySignatures,
} from '../../schemas/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { readDeploymentFile } from '../deployment-file.ts';
import { readTwinKeys } from '../rmb/input.ts';
import { shown } from '../rmb/text.ts';

const usage = `usage: gridnode validate FILE [--twin-key TWIN=TYPE:HEX]... [--upgrade-from FILE] [--json]

Checks a deployment (JSON) as a node does before it asks the chain or looks at its
capacity: structure, signatures, and what an update may change, in that order and in
the node's words. - reads standard input.

  --twin-key       account of a twin: 17=ed25519:HEX or 17=sr25519:HEX, 64 hex digits;
                   without any, signatures are not checked
  --upgrade-from   the deployment that this one is to replace
  --json           {"ok":true} or {"ok":false,"stage":"file|valid|verify|upgrade","error":...},
                   with "where":{"workload":...,"path":...} if one place is at fault; file: it
                   cannot be read

Exit status 1: a node would refuse it, or it cannot be read.`;

type Stage = 'file' | 'valid' | 'verify' | 'upgrade';

/** What a refusal is about. */
interface Where {
  /** Its name. */
  readonly workload?: string;
  /** Of the field or the workload, from the deployment; within lists as far as the refusal tells. */
  readonly path?: string;
}

class Refused extends Error {
  readonly stage: Stage;
  override readonly cause: GridError | CliError;
  readonly where: Where | undefined;

  constructor(stage: Stage, cause: GridError | CliError, where?: Where) {
    super(cause.message);
    this.stage = stage;
    this.cause = cause;
    this.where = where;
  }
}

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(
      args,
      {
        'twin-key': { type: 'string', multiple: true, default: [] },
        'upgrade-from': { type: 'string' },
        json: { type: 'boolean', default: false },
      },
      usage,
    );
    const [file] = positionals;
    if (file === undefined || positionals.length > 1) throw new CliError(usage);
    const keys = readTwinKeys(values['twin-key']);
    const earlier = values['upgrade-from'];
    if (file === '-' && earlier === '-') throw new CliError('standard input can be one of the two deployments');
    const print = (outcome: object, text: string): void => {
      process.stdout.write(`${values.json ? JSON.stringify(outcome) : text}\n`);
    };
    try {
      const deployment = await at('valid', async () => {
        const read = await readDeploymentFile(file);
        try {
          validateDeployment(read);
        } catch (error) {
          throw error instanceof GridError ? new Refused('valid', error, whereIn(read, error)) : error;
        }
        return read;
      });
      const formula = keys.size === 0 ? undefined : await at('verify', () => verify(deployment, keys));
      const operations =
        earlier === undefined
          ? undefined
          : await at('upgrade', async () => planUpgrade(await readDeploymentFile(earlier), deployment));
      print({ ok: true }, accepted(formula, operations));
      return 0;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { stage, message, where, cause } = error;
      if (stage === 'file' && !values.json) throw cause;
      print({ ok: false, stage, error: message, where }, `refused at stage ${stage}: ${message}`);
      return 1;
    }
  },
};

async function at<T>(stage: Stage, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof CliError) throw new Refused('file', error);
    throw error instanceof GridError ? new Refused(stage, error, whereIn(undefined, error)) : error;
  }
}

/** Where an error points to, which its text, a node's own, need not say. */
function whereIn(deployment: Deployment | undefined, { details }: GridError): Where | undefined {
  const workload = 'workload' in details ? `${details.workload}` : undefined;
  const field = 'field' in details ? `${details.field}` : '';
  if (workload === undefined) return field === '' ? undefined : { path: field };
  const places = deployment?.workloads.flatMap(({ name }, i) => (name === workload ? [`workloads[${i}]`] : [])) ?? [];
  // Of two with one name it is not said which.
  if (places.length !== 1) return { workload };
  return { workload, path: field === '' ? `${places[0]}` : `${places[0]}.data.${field}` };
}

async function verify(deployment: Deployment, keys: ReadonlyMap<number, TwinKey>): Promise<Formula> {
  const verifier = new SignatureVerifier();
  try {
    return await verifySignatures(deployment, async (twin, type, message, signature) => {
      const key = keys.get(twin);
      if (key === undefined) throw new Error(`no --twin-key ${twin}=${type}:HEX was given`);
      // In envelopes a byte before the signature says which kind it is.
      const typed = Buffer.concat([Buffer.from(type === 'sr25519' ? 's' : 'e'), signature]);
      return (await verifier.verify(key.account, message, typed)) === undefined;
    });
  } finally {
    await verifier.close();
  }
}

function accepted(formula: Formula | undefined, operations: readonly Operation[] | undefined): string {
  const lines = ['ok'];
  if (formula === undefined) lines.push('signatures were not checked: give --twin-key TWIN=TYPE:HEX');
  if (formula === 'before-wireguard') lines.push('signed by the formula of nodes before September 2025');
  if (operations?.length === 0) lines.push('the update changes no workload');
  for (const { kind, workload } of operations ?? []) lines.push(`${kind} ${shown(workload)}`);
  return lines.join('\n');
}
