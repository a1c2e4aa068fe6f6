/** What a deployment's signature and its contract's hash cover: texts joined without separators. */
import type { Deployment, Workload } from './deployment.ts';
import { md5, md5Hex } from './md5.ts';
import { loadData } from './validate.ts';
import { workloadType } from './workloads/index.ts';
import { type AddPiece, type Piece, piecesOf } from './workloads/type.ts';

/**
 * How the challenge is made: as nodes do now, or as they did before September 2025, when a
 * `network-light` gave its WireGuard fields no part in it.
 */
export type Formula = 'current' | 'before-wireguard';

/** The formulas that give a deployment different challenges, the current one first. */
export function formulasOf({ workloads }: Deployment): Formula[] {
  const older = workloads.some(({ type, name }) => workloadType(type, name).olderChallenge !== undefined);
  return older ? ['current', 'before-wireguard'] : ['current'];
}

/** The formula by which a deployment has that hash (32 lower-case hex digits); `undefined` if none gives it. */
export function matchingFormula(deployment: Deployment, hash: string): Formula | undefined {
  return formulasOf(deployment).find((formula) => deploymentHash(deployment, formula) === hash);
}

/** Every part of the challenge with the path it comes from. Throws for unknown types and unreadable data. */
export function challengePieces(deployment: Deployment, formula: Formula = 'current'): Piece[] {
  return piecesOf((whole, add) => addDeployment(whole, formula, add), deployment);
}

function addDeployment(deployment: Deployment, formula: Formula, add: AddPiece): void {
  const { requests, weight_required, signature_style } = deployment.signature_requirement;
  add('version', deployment.version);
  add('twin_id', deployment.twin_id);
  add('metadata', deployment.metadata);
  add('description', deployment.description);
  add('expiration', deployment.expiration);
  for (const [i, workload] of deployment.workloads.entries()) {
    add('workloads[].version', workload.version, i);
    add('workloads[].name', workload.name, i);
    add('workloads[].type', workload.type, i);
    add('workloads[].metadata', workload.metadata, i);
    add('workloads[].description', workload.description, i);
    addData(workload, formula, (path, value, ...at) => add(`workloads[].data.${path}`, value, i, ...at));
  }
  for (const [i, request] of requests.entries()) {
    add('signature_requirement.requests[].twin_id', request.twin_id, i);
    add('signature_requirement.requests[].required', request.required, i);
    add('signature_requirement.requests[].weight', request.weight, i);
  }
  add('signature_requirement.weight_required', weight_required);
  add('signature_requirement.signature_style', signature_style);
}

function addData(workload: Workload, formula: Formula, add: AddPiece): void {
  const type = workloadType(workload.type, workload.name);
  const addAll = formula === 'current' ? type.challenge : (type.olderChallenge ?? type.challenge);
  addAll(loadData(type, workload), add);
}

/** Path of the first part that the challenge has different of two workloads of one name and type; `undefined` if none. */
export function changedPiece(before: Workload, after: Workload): string | undefined {
  const [left, right] = [before, after].map((workload) =>
    piecesOf((one: Workload, add) => {
      add('metadata', one.metadata);
      add('description', one.description);
      addData(one, 'current', (path, value, ...at) => add(`data.${path}`, value, ...at));
    }, workload),
  ) as [Piece[], Piece[]];
  const paths = [...left, ...right].map(([path]) => path);
  const [known, wanted] = [new Map(left), new Map(right)];
  return paths.find((path) => known.get(path) !== wanted.get(path));
}

/** The challenge text: the pieces without their paths. */
export function challenge(deployment: Deployment, formula: Formula = 'current'): string {
  const { version, twin_id, metadata, description, expiration, workloads } = deployment;
  const { requests, weight_required, signature_style } = deployment.signature_requirement;
  let text = `${version}${twin_id}${metadata}${description}${expiration}`;
  const add: AddPiece = (_path, value) => {
    text += value;
  };
  for (const workload of workloads) {
    text += `${workload.version}${workload.name}${workload.type}${workload.metadata}${workload.description}`;
    addData(workload, formula, add);
  }
  for (const request of requests) text += `${request.twin_id}${request.required}${request.weight}`;
  return `${text}${weight_required}${signature_style}`;
}

/** 32 lower-case hex digits: the hash a node contract carries, as ASCII, on chain. */
export function deploymentHash(deployment: Deployment, formula: Formula = 'current'): string {
  return md5Hex(challenge(deployment, formula));
}

/** The bytes signers sign: the 16 bytes of the hash, or for `polka-wallet` its hex in `<Bytes>` tags. */
export function signedMessage(deployment: Deployment, formula: Formula = 'current'): Uint8Array {
  if (deployment.signature_requirement.signature_style === 'polka-wallet') {
    return new TextEncoder().encode(`<Bytes>${deploymentHash(deployment, formula)}</Bytes>`);
  }
  return md5(challenge(deployment, formula));
}
