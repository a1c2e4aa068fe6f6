import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RmbError } from '../../gateway/rmb/index.ts';
import {
  type CapacityReport,
  deploymentDeploy,
  deploymentHash,
  formatDeployment,
  GiB,
  MiB,
  type Workload,
  withSignature,
} from '../../schemas/index.ts';
import { expectUnchanged, type Standing, standingOf } from './standing.ts';
import { diskWorkload, type MachineWish, machineAddress, machineWorkload, networkWorkload, Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

/** Never fetched: every deployment here is refused before. */
const FLIST = 'http://192.0.2.1/none.fl';

const machine = (name: string, wish: Partial<MachineWish> = {}): Workload =>
  machineWorkload(name, { flist: FLIST, network: 'net', address: machineAddress(1), ...wish });

interface Refused {
  readonly code: number | undefined;
  readonly text: string;
  readonly stage: string | undefined;
}

async function refusalOf(work: Promise<unknown>): Promise<Refused> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof RmbError) || error.kind !== 'refused') throw error;
    return { code: error.code, text: error.message, stage: error.refusal?.stage };
  }
  throw new Error('accepted what must be refused');
}

describe.skipIf(!isRoot)('deployments that a node must refuse', () => {
  let node: TestNode;
  let user: Tenant;
  let farmer: Tenant;
  let before: Standing;
  let free: CapacityReport['free'];

  beforeAll(async () => {
    node = await startTestNode({ poolSize: 6 * GiB });
    [user, farmer] = await Promise.all([Tenant.open(node), Tenant.open(node, 'farmer')]);
    await user.answered();
    before = await standingOf(user);
    free = before.capacity.free;
  }, 180_000);

  afterAll(async () => {
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  /** Signs, pays for and sends; the refusal, with the contract cancelled. */
  const refused = async (workloads: readonly Workload[]): Promise<Refused> => {
    const deployment = user.sign(workloads);
    const contract = await user.contractFor(deployment);
    try {
      return await refusalOf(user.send(deployment, contract));
    } finally {
      await user.chain.cancelContract(contract);
    }
  };
  const sendText = (text: string): Promise<Refused> =>
    refusalOf(user.peer.callNode(deploymentDeploy.name, text, 30_000));

  it.each([
    ['{"version":', 2002, /^deployment is not valid JSON: .+; send the deployment as one JSON object in UTF-8$/],
    ['', 2002, /^deployment is not valid JSON: unexpected end of JSON input; /],
    ['[1,2]', 0, /^json: cannot unmarshal array into Go value of type/],
    ['{"version":-1}', 0, /^json: cannot unmarshal number -1 into Go struct field Deployment\.version of type uint32$/],
    ['{"workloads":"x"}', 0, /^json: cannot unmarshal string into Go struct field Deployment\.workloads/],
  ])('malformed text %j', async (text, code, pattern) => {
    expect(await sendText(text)).toEqual({ code, text: expect.stringMatching(pattern), stage: 'deployment' });
    await expectUnchanged(user, before);
  });

  it('text nested a thousand levels deep', async () => {
    const text = `{"workloads":${'['.repeat(1000)}${']'.repeat(1000)}}`;
    const { code, text: answer } = await sendText(text);
    expect([code, answer]).toEqual([2001, expect.stringMatching(/^deployment nests \d+ levels deep, more than the/)]);
    await expectUnchanged(user, before);
  });

  it.each([
    ['', "name '' is invalid: name cannot be empty"],
    ['a-b', "name 'a-b' is invalid: unsupported character in workload name"],
    ['../../etc', "name '../../etc' is invalid: unsupported character in workload name"],
    ['ygg', "name 'ygg' is invalid: invalid name 'ygg' is reserved"],
    ['n'.repeat(37), `name '${'n'.repeat(37)}' is invalid: name cannot exceed 36 characters`],
  ])('the name %j', async (name, text) => {
    const refusal = await sendText(formatDeployment(user.sign([networkWorkload(name, 1)])));
    expect(refusal).toEqual({ code: 0, text, stage: 'deployment' });
    await expectUnchanged(user, before);
  });

  it('two workloads of one name', async () => {
    const { text } = await sendText(formatDeployment(user.sign([diskWorkload('d', GiB), diskWorkload('d', GiB)])));
    expect(text).toBe("multiple workloads with the same name 'd'");
    await expectUnchanged(user, before);
  });

  it('a wrong, a foreign and a missing signature', async () => {
    const good = user.sign([networkWorkload('net', 1)]);
    const { twin_id } = good;
    const other = farmer.sign([networkWorkload('net', 1)]).signature_requirement.signatures[0]?.signature ?? '';
    const foreign = withSignature(good, twin_id, 'sr25519', Buffer.from(other, 'hex'));
    expect(await sendText(formatDeployment(foreign))).toEqual({
      code: 0,
      text: 'failed to verify signature',
      stage: 'deployment',
    });
    const changed = formatDeployment({ ...good, workloads: [networkWorkload('net', 1)] });
    expect(await sendText(changed)).toMatchObject({ text: 'failed to verify signature' });
    const unsigned = { ...good, signature_requirement: { ...good.signature_requirement, signatures: [] } };
    expect(await sendText(formatDeployment(unsigned))).toMatchObject({
      text: `missing required signature for twin '${user.twin}'`,
    });
    await expectUnchanged(user, before);
  });

  it('a deployment in the name of another twin', async () => {
    const refusal = await sendText(formatDeployment(farmer.sign([networkWorkload('net', 1)])));
    expect(refusal).toEqual({
      code: 2120,
      text: `twin id mismatch (deployment: ${farmer.twin}, message: ${user.twin})`,
      stage: 'deployment',
    });
    await expectUnchanged(user, before);
  });

  it('a contract of another twin', async () => {
    const deployment = user.sign([networkWorkload('net', 1)]);
    const contract = await farmer.contractFor(deployment);
    expect(await refusalOf(user.send(deployment, contract))).toEqual({
      code: 2104,
      text: `contract ${contract} belongs to twin ${farmer.twin}, the deployment to twin ${user.twin}; the node serves a contract's owner only`,
      stage: 'contract',
    });
    await farmer.chain.cancelContract(contract);
    await expectUnchanged(user, before);
  });

  it('a contract of another node', async () => {
    const { farmId, nodeId } = node.registration;
    const resources = { cru: 1n, mru: BigInt(GiB), sru: BigInt(GiB), hru: 0n };
    const elsewhere = await farmer.chain.createNode({ farmId, resources });
    const deployment = user.sign([networkWorkload('net', 1)]);
    const contract = await user.contractFor(deployment, elsewhere);
    expect(await refusalOf(user.send(deployment, contract))).toEqual({
      code: 2103,
      text: `invalid node address in contract (contract ${contract} is for node ${elsewhere}, this is node ${nodeId})`,
      stage: 'contract',
    });
    await user.chain.cancelContract(contract);
    await expectUnchanged(user, before);
  });

  it('a contract with another hash', async () => {
    const [one, other] = [user.sign([networkWorkload('net', 1)]), user.sign([networkWorkload('net', 2)])];
    const contract = await user.contractFor(one);
    const { code, text, stage } = await refusalOf(user.send(other, contract));
    expect([code, stage]).toEqual([2106, 'contract']);
    expect(text).toMatch(
      new RegExp(
        `^contract hash does not match deployment hash \\(contract ${contract} has '${deploymentHash(one)}', the deployment '${deploymentHash(other)}'; read at block \\d+(, waited \\d+ ms for a later block to change it)?\\); update the contract`,
      ),
    );
    await user.chain.cancelContract(contract);
    await expectUnchanged(user, before);
  });

  it('a cancelled contract', async () => {
    const deployment = user.sign([networkWorkload('net', 1)]);
    const contract = await user.contractFor(deployment);
    await user.chain.cancelContract(contract);
    const { code, text, stage } = await refusalOf(user.send(deployment, contract));
    expect([code, stage]).toEqual([2101, 'contract']);
    expect(text).toMatch(
      new RegExp(
        `^failed to get deployment contract: contract ${contract} is not on the chain \\(looked for \\d+ ms, up to block \\d+\\); send the deployment after`,
      ),
    );
    await expectUnchanged(user, before);
  });

  it('more memory than is free', async () => {
    const { total, system } = before.capacity;
    const memory = free.mru + MiB;
    expect(await refused([networkWorkload('net', 1), machine('vm', { memory, size: 0 })])).toEqual({
      code: 3000,
      text:
        `failed to satisfy required capacity: cannot fulfil required memory size ${memory} bytes out of usable ${free.mru} bytes` +
        ` (total ${total.mru}, system ${system.mru}, committed 0, pending 0); ask for less memory or choose another node`,
      stage: 'capacity',
    });
    await expectUnchanged(user, before);
  });

  it('a disk larger than any pool has room for', async () => {
    const size = before.capacity.largest_disk + MiB;
    const { text, stage } = await refused([diskWorkload('big', size)]);
    expect(stage).toBe('capacity');
    expect(text).toContain(
      `workload 'big' needs ${size} bytes in one pool, not enough space left in pools of this type ssd: the most that fits now is ${before.capacity.largest_disk} bytes in pool '${before.capacity.pools[0]?.name}'`,
    );
    await expectUnchanged(user, before);
  });

  it('disks that fit one by one but not together', async () => {
    const half = Math.floor(free.sru / 2) + MiB;
    const { code, text } = await refused([diskWorkload('one', half), diskWorkload('two', half)]);
    expect(code).toBe(3099);
    expect(text).toContain(
      `not enough space left in pools of this type ssd: requested ${2 * half} bytes, available ${free.sru} bytes (total ${before.capacity.total.sru}, system ${before.capacity.system.sru}, committed 0, pending 0)`,
    );
    await expectUnchanged(user, before);
  });

  it('a mounted disk that is too small for a file system', async () => {
    const small = [networkWorkload('net', 1), diskWorkload('small', 100 * MiB), machine('vm', { disk: 'small' })];
    const { code, text, stage } = await refused(small);
    expect({ code, stage }).toEqual({ code: 3033, stage: 'capacity' });
    expect(text).toContain(
      `disk 'small' is too small for the file system with which 'vm' mounts it: requested ${100 * MiB} bytes, the smallest is 114294784 bytes`,
    );
    await expectUnchanged(user, before);
  });

  it('more processors than the node has', async () => {
    const vm = machine('vm', { size: 0 });
    const many = { ...vm, data: vm.data.replace('"cpu":1', '"cpu":64') };
    const { text, stage } = await refused([networkWorkload('net', 1), many]);
    expect(stage).toBe('capacity');
    expect(text).toMatch(/invalid cpu must be between 1 and \d+ \(workload 'vm' asks for 64\)/);
    await expectUnchanged(user, before);
  });

  it('everything that is wrong, at once', async () => {
    const { code, text } = await refused([
      networkWorkload('net', 1),
      machine('vm', { memory: free.mru + MiB, size: 0, address: machineAddress(2), disk: 'nowhere' }),
    ]);
    expect(code).toBe(3099);
    for (const part of [
      'cannot fulfil required memory size',
      `IP ${machineAddress(2)} is not part of local nr subnet 10.21.2.0/24 (workload 'vm')`,
      "workload 'vm' mounts 'nowhere', which is not a workload of the deployment",
    ]) {
      expect(text).toContain(part);
    }
    await expectUnchanged(user, before);
  });

  it('a machine on a network that the twin has not', async () => {
    expect(await refused([machine('vm', { network: 'nowhere' })])).toMatchObject({
      code: 3021,
      text: "could not get network resource subnet: workload 'vm' names network 'nowhere', which this twin has not deployed on this node; deploy the network first or in the same deployment",
    });
    await expectUnchanged(user, before);
  });

  it('a type that this node does not run', async () => {
    const disk = user.sign([diskWorkload('db', GiB)]);
    const data = JSON.stringify({ size: GiB, mode: 'user' });
    const ofType = (type: string): string =>
      formatDeployment({ ...disk, workloads: disk.workloads.map((one) => ({ ...one, type, data })) });
    expect(await sendText(ofType('zdb'))).toEqual({
      code: 2010,
      text: "this node does not run workloads of type 'zdb' (workload 'db'); it runs zmount, volume, network, zmachine; choose a node whose zos.system.node_features_get lists the type",
      stage: 'deployment',
    });
    expect(await sendText(ofType('spaceship'))).toEqual({
      code: 0,
      text: "invalid reservation type 'spaceship'",
      stage: 'deployment',
    });
    await expectUnchanged(user, before);
  });

  it('a network name, port and contract that are taken, and then free again', async () => {
    const deployment = user.sign([networkWorkload('net', 1)]);
    const contract = await user.contractFor(deployment);
    await user.send(deployment, contract);
    expect((await user.settled(contract)).get('net')).toEqual({ state: 'ok', message: '' });
    const held = await standingOf(user);

    expect(await refusalOf(user.send(deployment, contract))).toEqual({
      code: 2122,
      text: 'exists',
      stage: 'deployment',
    });
    expect(await refused([networkWorkload('net', 2)])).toMatchObject({
      code: 3020,
      text: "global workload with the same name 'net' exists: conflict",
    });
    expect(await refused([networkWorkload('other', 1)])).toMatchObject({
      code: 3025,
      text: expect.stringMatching(
        /^wireguard listen port already in use, pick another one: port 4201 of workload 'other' is taken/,
      ),
    });
    await expectUnchanged(user, held);
    await user.cancel(contract);
    await expectUnchanged(user, before);
  });

  it('questions about deployments of others and of nobody', async () => {
    const ask = (command: string, tenant: Tenant, contract: bigint): Promise<Refused> =>
      refusalOf(tenant.peer.callNode(command, JSON.stringify({ contract_id: Number(contract) }), 30_000));
    const contract = await user.deploy([networkWorkload('net', 1)]);
    for (const command of ['zos.deployment.get', 'zos.deployment.changes']) {
      expect((await ask(command, farmer, contract)).text).toBe('deployment not found');
      expect((await ask(command, user, 987654n)).text).toBe('deployment not found');
    }
    await user.settled(contract);
    await user.cancel(contract);
    await expectUnchanged(user, before);
  });
});
