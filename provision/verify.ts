/** Whether a deployment may be accepted at all, in the order of the grid's nodes: what costs least first. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractFacts, chain } from '../modules/api-gateway/interface.ts';
import type { Client } from '../modules/zbus/definition.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { deploymentHash } from '../schemas/challenge.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import { verifySignatures } from '../schemas/signatures.ts';
import { validateDeployment } from '../schemas/validate.ts';
import type { TwinKeys } from './keys.ts';

export interface VerifierOptions {
  readonly chain: Client<typeof chain>;
  readonly keys: TwinKeys;
  /** Workload types the node runs. */
  readonly types: readonly string[];
  /** Milliseconds to wait for a contract that the chain does not show yet; a block takes six seconds. */
  readonly contractWaitMs: number;
  /** Base URL of the service that knows verified users; none is asked when left out. */
  readonly kycUrl?: string;
}

const READ_DEADLINE_MS = 10_000;
const KYC_DEADLINE_MS = 5_000;
const POLL_MS = 500;

export class Verifier {
  readonly #options: VerifierOptions;
  #node: number | undefined;

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  /** Structure, sender and signatures; throws the first `GridError`. */
  async document(deployment: Deployment, sender: number, signal: AbortSignal): Promise<void> {
    validateDeployment(deployment, { runs: this.#options.types });
    if (deployment.twin_id !== sender) {
      throw new GridError('deployment_twin', { deployment: deployment.twin_id, message: sender });
    }
    if (this.#options.kycUrl !== undefined) await checkUser(this.#options.kycUrl, sender, signal);
    await verifySignatures(deployment, this.#options.keys.verifier({ deadlineMs: READ_DEADLINE_MS, signal }));
  }

  /** The contract that pays for the deployment; throws the `GridError` of the first fact that differs. */
  async contract(deployment: Deployment, signal: AbortSignal): Promise<Infer<typeof ContractFacts>> {
    const { contract_id: id, twin_id: twin } = deployment;
    const contract = id.toString();
    const facts = await this.#awaitContract(id, signal);
    if (facts.Kind !== 'node') throw new GridError('contract_kind', { contract, kind: facts.Kind });
    const node = await this.#nodeId(contract, signal);
    if (facts.NodeID !== node) {
      throw new GridError('contract_node', { contract, expected: node, actual: facts.NodeID });
    }
    if (facts.TwinID !== twin) throw new GridError('contract_twin', { contract, expected: twin, actual: facts.TwinID });
    if (facts.State !== 'created') throw new GridError('contract_state', { contract, state: facts.State });
    const hash = deploymentHash(deployment);
    if (facts.DeploymentHash !== hash) {
      throw new GridError('contract_hash', { contract, expected: hash, actual: facts.DeploymentHash });
    }
    if (facts.RentedBy !== 0 && facts.RentedBy !== twin) {
      throw new GridError('contract_rented', { rentedBy: facts.RentedBy, twin });
    }
    return facts;
  }

  async #awaitContract(id: bigint, signal: AbortSignal): Promise<Infer<typeof ContractFacts>> {
    const began = performance.now();
    for (;;) {
      const facts = await this.#read(id, signal);
      if (facts.Found) return facts;
      const waitedMs = Math.round(performance.now() - began);
      if (waitedMs + POLL_MS > this.#options.contractWaitMs) {
        throw new GridError('contract_unknown', { contract: id.toString(), waitedMs, block: facts.BlockNumber });
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  async #read(id: bigint, signal: AbortSignal): Promise<Infer<typeof ContractFacts>> {
    try {
      return await this.#options.chain.Contract({ id }, { deadlineMs: READ_DEADLINE_MS, signal });
    } catch (error) {
      throw unreadable(id.toString(), error);
    }
  }

  async #nodeId(contract: string, signal: AbortSignal): Promise<number> {
    if (this.#node !== undefined) return this.#node;
    try {
      const { NodeID } = await this.#options.chain.Node({}, { deadlineMs: READ_DEADLINE_MS, signal });
      this.#node = NodeID;
      return NodeID;
    } catch (error) {
      throw unreadable(contract, error);
    }
  }
}

function unreadable(contract: string, error: unknown): GridError {
  const reason = error instanceof Error ? error.message : String(error);
  return new GridError('contract_unreadable', { contract, reason }, { cause: error });
}

/** A definite no is final; the service is asked once. */
async function checkUser(baseUrl: string, twin: number, signal: AbortSignal): Promise<void> {
  const url = new URL('/api/v1/status', baseUrl);
  url.searchParams.set('twin_id', String(twin));
  let status: unknown;
  try {
    const answer = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(KYC_DEADLINE_MS)]) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    status = ((await answer.json()) as { result?: { status?: unknown } } | null)?.result?.status;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GridError('twin_verification_failed', { reason }, { cause: error });
  }
  if (status !== 'VERIFIED') throw new GridError('twin_unverified', { twin });
}
