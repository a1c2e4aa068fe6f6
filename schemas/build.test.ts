import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  buildDeployment,
  buildWorkload,
  deploymentHash,
  formatDeployment,
  network,
  parseDeployment,
  validateDeployment,
  withSignature,
  zmachine,
  zmount,
} from './index.ts';

it('makes the deployment that nodes read back with the same hash', () => {
  const workloads = [
    buildWorkload(network, 'net1', {
      ip_range: '10.20.0.0/16',
      subnet: '2001:DB8:0::1/64',
      wireguard_private_key: 'key',
      mycelium: { hex_key: 'AB'.repeat(32) },
    }),
    buildWorkload(zmount, 'disk1', { size: 10 }, { description: 'data disk' }),
    buildWorkload(zmachine, 'vm1', {
      flist: 'https://hub/a.flist',
      network: { interfaces: [{ network: 'net1', ip: '10.20.2.2' }] },
      compute_capacity: { cpu: 1, memory: 256 * 1024 ** 2 },
      mounts: [{ name: 'disk1', mountpoint: '/data' }],
      env: { B: '2', A: '1' },
    }),
  ];
  const unsigned = buildDeployment({ twinId: 17, workloads });
  validateDeployment(unsigned);
  expect(unsigned.workloads[0]?.data).toContain('"subnet":"2001:db8::1/64"');
  expect(unsigned.workloads[2]?.data).not.toContain('gpu');
  const first = withSignature(unsigned, 17, 'ed25519', new Uint8Array(64));
  const signed = withSignature(first, 17, 'sr25519', new Uint8Array(64).fill(255));
  expect(signed.signature_requirement.signatures).toEqual([
    { twin_id: 17, signature: 'ff'.repeat(64), signature_type: 'sr25519' },
  ]);
  const read = parseDeployment(formatDeployment({ ...signed, contract_id: 5n }));
  expect(read).toEqual({ ...signed, contract_id: 5n });
  expect(deploymentHash(read)).toBe(deploymentHash(unsigned));
});

it('refuses data that is not of the type', () => {
  expect(() => buildWorkload(zmount, 'd', { size: 1.5 })).toThrow();
  expect(() => buildWorkload(network, 'n', { ip_range: '10.0.0.0', subnet: '', wireguard_private_key: '' })).toThrow(
    'address with prefix length',
  );
});

it('the published surface runs in a browser: no platform modules', () => {
  const sources = globSync('**/*.ts', { cwd: import.meta.dirname }).filter(
    (path) => !path.endsWith('.test.ts') && path !== 'generate.ts' && !path.startsWith('publish/'),
  );
  expect(sources.length).toBeGreaterThan(20);
  for (const path of sources) {
    const text = readFileSync(`${import.meta.dirname}/${path}`, 'utf8');
    expect(text, path).not.toMatch(/from 'node:|\bBuffer\b|\bprocess\./);
    for (const [, target] of text.matchAll(/\bfrom '([\w@./:-]+)';$/gm)) {
      expect(target === 'zod' || /^\.{1,2}\//.test(target as string), `${path} imports ${target}`).toBe(true);
    }
  }
});
