import { describe, expect, it } from 'vitest';
import {
  buildDeployment,
  buildWorkload,
  deploymentHash,
  formatContractData,
  ip,
  MAX_CONTRACT_DATA_BYTES,
  nodeContractOf,
  zmount,
} from './index.ts';

describe('data of a contract', () => {
  it('is the text that other clients write', () => {
    const data = { version: 3, type: 'vm', name: 'vm1', projectName: 'vm/vm1' };
    expect(formatContractData(data)).toBe('{"version":3,"type":"vm","name":"vm1","projectName":"vm/vm1"}');
  });

  it('is counted in bytes, not characters', () => {
    const around = formatContractData({ version: 3, type: 'vm', name: '', projectName: '' }).length;
    const name = 'é'.repeat((MAX_CONTRACT_DATA_BYTES - around) / 2);
    expect(
      new TextEncoder().encode(formatContractData({ version: 3, type: 'vm', name, projectName: '' })),
    ).toHaveLength(512);
    expect(() => formatContractData({ version: 3, type: 'vm', name: `${name}é`, projectName: '' })).toThrow(
      'data of a contract has 514 bytes, the chain takes 512',
    );
  });
});

it('a contract takes the public addresses of its workloads', () => {
  const workloads = [
    buildWorkload(zmount, 'disk', { size: 1 }),
    buildWorkload(ip, 'a', { v4: true, v6: true }),
    buildWorkload(ip, 'b', { v4: false, v6: true }),
  ];
  const deployment = buildDeployment({ twinId: 17, workloads });
  expect(nodeContractOf(deployment, 11, 'words')).toEqual({
    node_id: 11,
    deployment_hash: deploymentHash(deployment),
    deployment_data: 'words',
    public_ips: 1,
  });
});
