/** Whether a deployment may be accepted at all, in the order of the grid's nodes: what costs least first. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractFacts, chain } from '../modules/api-gateway/interface.ts';
import type { Client } from '../modules/zbus/definition.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { deploymentHash, type Formula, matchingFormula } from '../schemas/challenge.ts';
import type { Deployment } from '../schemas/deployment.ts';
import { GridError } from '../schemas/errors/index.ts';
import { verifySignatures } from '../schemas/signatures.ts';
import { validateDeployment } from '../schemas/validate.ts';
import type { TwinKeys } from './keys.ts';
import { type OnCheck, VerifiedUsers, type VerifiedUsersLimits } from './kyc.ts';

export interface VerifierOptions {
  readonly chain: Client<typeof chain>;
  readonly keys: TwinKeys;
  /** Workload types the node runs. */
  readonly types: readonly string[];
  /** Milliseconds to wait for a contract that the chain does not show yet; a block takes six seconds. */
  readonly contractWaitMs: number;
  /** Base URL of the service that knows verified users; none is asked when left out. */
  readonly kycUrl?: string;
  readonly kycLimits?: VerifiedUsersLimits;
  readonly onKycCheck?: OnCheck | undefined;
}

/** A contract that pays for a deployment, and the formula by which it carries its hash. */
export interface PaidDeployment {
  readonly facts: Infer<typeof ContractFacts>;
  readonly formula: Formula;
}

const READ_DEADLINE_MS = 10_000;
const POLL_MS = 500;

export class Verifier {
  readonly #options: VerifierOptions;
  readonly #users: VerifiedUsers | undefined;

  constructor(options: VerifierOptions) {
    this.#options = options;
    const { kycUrl, kycLimits, onKycCheck } = options;
    if (kycUrl !== undefined) this.#users = new VerifiedUsers(kycUrl, kycLimits, onKycCheck);
  }

  /** Structure, sender and signatures; throws the first `GridError`. Returns the formula that was signed. */
  async document(deployment: Deployment, sender: number, signal: AbortSignal): Promise<Formula> {
    validateDeployment(deployment, { runs: this.#options.types });
    if (deployment.twin_id !== sender) {
      throw new GridError('deployment_twin', { deployment: deployment.twin_id, message: sender });
    }
    await this.#users?.check(sender, signal);
    const verify = this.#options.keys.verifier({ deadlineMs: READ_DEADLINE_MS, signal });
    return verifySignatures(deployment, verify, 'skipped');
  }

  /**
   * The contract that pays for the deployment; throws the `GridError` of the first fact that differs.
   * Waits a moment for a contract that the chain does not show yet, and with `isUpdate` for its new hash.
   */
  async contract(deployment: Deployment, signal: AbortSignal, isUpdate = false): Promise<PaidDeployment> {
    const { contract_id: id, twin_id: twin } = deployment;
    const contract = id.toString();
    const node = await this.#nodeId(contract, signal);
    const began = performance.now();
    for (;;) {
      const facts = await this.#read(id, signal);
      const waitedMs = Math.round(performance.now() - began);
      // Contract 0 is one that the client forgot to name.
      const isLast = id === 0n || waitedMs + POLL_MS > this.#options.contractWaitMs;
      if (facts.Found) {
        checkContract(facts, { contract, node, twin });
        const formula = matchingFormula(deployment, facts.DeploymentHash);
        if (formula !== undefined) {
          if (facts.RentedBy === 0 || facts.RentedBy === twin) return { facts, formula };
          throw new GridError('contract_rented', { rentedBy: facts.RentedBy, twin });
        }
        if (!isUpdate || isLast) {
          const expected = deploymentHash(deployment);
          const { DeploymentHash: actual, BlockNumber: block } = facts;
          throw new GridError('contract_hash', { contract, expected, actual, block, waitedMs, mayChange: isUpdate });
        }
      } else if (isLast || isOver(facts)) {
        throw new GridError('contract_unknown', { contract, waitedMs, block: facts.BlockNumber });
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

  /** Asked each time: it is remembered where it is known first, and may change. */
  async #nodeId(contract: string, signal: AbortSignal): Promise<number> {
    try {
      return (await this.#options.chain.Node({}, { deadlineMs: READ_DEADLINE_MS, signal })).NodeID;
    } catch (error) {
      throw unreadable(contract, error);
    }
  }
}

/** It was there and is no more: no later block brings it back. */
function isOver(facts: Infer<typeof ContractFacts>): boolean {
  return !facts.Found && facts.State === 'deleted';
}

function checkContract(
  facts: Infer<typeof ContractFacts>,
  { contract, node, twin }: { readonly contract: string; readonly node: number; readonly twin: number },
): void {
  if (facts.Kind !== 'node') throw new GridError('contract_kind', { contract, kind: facts.Kind });
  if (facts.NodeID !== node) throw new GridError('contract_node', { contract, expected: node, actual: facts.NodeID });
  if (facts.TwinID !== twin) throw new GridError('contract_twin', { contract, expected: twin, actual: facts.TwinID });
  if (facts.State !== 'created') throw new GridError('contract_state', { contract, state: facts.State });
}

function unreadable(contract: string, error: unknown): GridError {
  const reason = error instanceof Error ? error.message : String(error);
  return new GridError('contract_unreadable', { contract, reason }, { cause: error });
}
