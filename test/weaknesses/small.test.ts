/** Small defects that are not copied: W-small of docs/weaknesses.md. */
import { expect, it } from 'vitest';
import { fullDeployment } from '../../provision/testing/provisiond.ts';
import { host, stand, tenant } from '../../provision/testing/stand.ts';
import { diskWorkload, networkWorkload, Tenant, volumeWorkload } from '../../provision/testing/tenant.ts';
import { changes, deployed, ends, got, nodeForEachTest, operations, settles, start } from './node.ts';

const GIB = 1024 ** 3;

nodeForEachTest();

it('W-small: a volume that is gone already goes without an error', async () => {
  await start();
  await deployed(1n, volumeWorkload('vol1', GIB));
  host.volumes.delete('7-1-vol1');
  await ends();
  const told = await operations();
  expect(told.at(-1)).toMatchObject({ Kind: 'cancel', State: 'done', LastError: '' });
});

it('W-small: a machine that could not be started leaves nothing behind, and its image is mounted once', async () => {
  await start();
  host.hook = ({ method }, when) => {
    if (method === 'Run' && when === 'before') throw new Error('no processor takes it');
  };
  await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
  await settles(['net1 0 ok', 'disk1 0 ok', 'vm1 0 error']);
  await expect.poll(() => host.resources).toEqual(['disk 7-1-disk1', 'network 7-1-net1']);
  expect(host.calls.filter(({ method }) => method === 'Mount')).toHaveLength(1);
});

it('W-small: texts that clients match on stay, and the error beside them says what is wrong with what', async () => {
  await start();
  await deployed(1n, ...fullDeployment());
  expect(await stand.refused(tenant.deployment(1n, fullDeployment()))).toMatchObject({
    message: 'exists',
    code: 'deployment_exists',
    details: { twin: 7, contract: '1' },
  });
  expect(await stand.refused(tenant.contracted(host, 2n, [networkWorkload('net1')]))).toMatchObject({
    message: "global workload with the same name 'net1' exists: conflict",
    details: { network: 'net1', contract: '1' },
  });
  const unknown = tenant.deployment(9n, fullDeployment(), 1);
  expect(await stand.refused(unknown, 7, true)).toMatchObject({
    message: 'deployment not found: deployment does not exist',
    code: 'deployment_to_update_missing',
  });
  await expect(got(9n)).rejects.toThrow(/^deployment not found/);
  expect(await stand.refused(tenant.contracted(host, 3n, [diskWorkload('disk1', 900 * GIB)]))).toMatchObject({
    message: expect.stringContaining('not enough space left in pools of this type ssd'),
    details: expect.objectContaining({ refusals: expect.anything() }),
  });
  const other = new Tenant(8);
  other.contracted(host, 4n, []);
  expect((await stand.refused(other.deployment(4n, fullDeployment(), 1), 8, true)).message).toBe(
    'twin not found: deployment does not exist',
  );
});

it('W-small: the log of a deployment is whole and in order, as its waiters read it', async () => {
  await start();
  await deployed(1n, ...fullDeployment());
  const log = await changes();
  expect(log.slice(0, 3)).toEqual(['net1 0 init', 'disk1 0 init', 'vm1 0 init']);
  // A machine comes after what it stands on.
  expect(log.slice(3).sort()).toEqual(['disk1 0 ok', 'net1 0 ok', 'vm1 0 ok']);
  expect(log.at(-1)).toBe(log[5]);
});
