/** Nothing is believed that nobody answers for: weaknesses W24 to W28 of docs/weaknesses.md. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { provision } from '../../provision/interface.ts';
import { fullDeployment } from '../../provision/testing/provisiond.ts';
import { bus, host, stand, tenant } from '../../provision/testing/stand.ts';
import {
  at,
  diskWorkload,
  machineWorkload,
  networkWorkload,
  Tenant,
  volumeWorkload,
} from '../../provision/testing/tenant.ts';
import { deploymentToStruct } from '../../provision/wire.ts';
import type { Deployment } from '../../schemas/deployment.ts';
import { deployed, ends, gate, got, named, next, nodeForEachTest, settles, standing, start } from './node.ts';

const GIB = 1024 ** 3;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

nodeForEachTest();

describe('W24: links in an image', () => {
  /** Makes the tree that flistd mounted what a tenant would like the node to look into. */
  function image(make: (tree: string, outside: string) => void): string {
    const outside = join(stand.folder, 'outside');
    mkdirSync(join(outside, 'ssh'), { recursive: true });
    for (const name of ['shadow', 'ssh/ssh_host_rsa_key', 'vmlinuz'])
      writeFileSync(join(outside, name), `of the host: ${name}`);
    host.hook = ({ method, args }, when) => {
      if (method !== 'Mount' || when !== 'after') return;
      const tree = join(stand.folder, 'mnt', String(args.name));
      rmSync(tree, { recursive: true });
      mkdirSync(tree);
      make(tree, outside);
    };
    return outside;
  }

  const kernels: Readonly<Record<string, (tree: string, outside: string) => void>> = {
    'a disk image that is a link': (tree, outside) => symlinkSync(join(outside, 'shadow'), join(tree, 'image.raw')),
    'a kernel that is a link': (tree, outside) => {
      mkdirSync(join(tree, 'boot'));
      symlinkSync(join(outside, 'shadow'), join(tree, 'boot', 'vmlinuz'));
    },
    'a boot folder that is a link': (tree, outside) => symlinkSync(outside, join(tree, 'boot')),
    'a first root file system that is a link': (tree, outside) => {
      mkdirSync(join(tree, 'boot'));
      writeFileSync(join(tree, 'boot', 'vmlinuz'), 'kernel');
      symlinkSync(join(outside, 'shadow'), join(tree, 'boot', 'initrd.img'));
    },
    'a kernel that is a pipe': (tree) => {
      mkdirSync(join(tree, 'boot'));
      execFileSync('mkfifo', [join(tree, 'boot', 'vmlinuz')]);
    },
  };

  it.each(Object.keys(kernels))(
    'W24: %s is not followed, and the machine fails with a word about it',
    async (which) => {
      await start();
      const outside = image(kernels[which] ?? (() => undefined));
      await stand.deploy(tenant.contracted(host, 1n, fullDeployment()));
      await settles(['net1 0 ok', 'disk1 0 ok', 'vm1 0 error']);
      expect((await got()).workloads[2]?.result.message).toMatch(/is a link or not a regular file, it is not followed/);
      expect(host.changes).not.toContain('Run');
      const copied = readdirSync(join(stand.folder, 'pool1'), { recursive: true, encoding: 'utf8' })
        .filter((path) => /vmlinuz|initrd/.test(path))
        .map((path) => readFileSync(join(stand.folder, 'pool1', path), 'utf8'));
      expect(copied.filter((text) => text.includes('of the host'))).toEqual([]);
      expect(readFileSync(join(outside, 'shadow'), 'utf8')).toBe('of the host: shadow');
    },
  );

  it.each(['etc', 'etc/ssh', 'etc/ssh/ssh_host_rsa_key'])(
    'W24: host keys are removed through no link at %s',
    async (where) => {
      await start();
      const outside = image((tree, out) => {
        const target = {
          etc: out,
          'etc/ssh': join(out, 'ssh'),
          'etc/ssh/ssh_host_rsa_key': join(out, 'ssh/ssh_host_rsa_key'),
        }[where];
        mkdirSync(join(tree, where, '..'), { recursive: true });
        symlinkSync(target ?? '', join(tree, where));
      });
      await deployed(1n, ...fullDeployment());
      expect(existsSync(join(outside, 'ssh', 'ssh_host_rsa_key'))).toBe(true);
    },
  );
});

describe('W25: results that a client sends', () => {
  const forged = {
    created: 1,
    state: 'ok',
    message: '',
    data: JSON.stringify({ ip: '185.1.2.3/24', gateway: '185.1.2.1', id: 'x' }),
  };
  const withResults = (deployment: Deployment): Deployment => ({
    ...deployment,
    workloads: deployment.workloads.map((one) => ({ ...one, result: forged })),
  });

  it('W25: are dropped at the door, of a deployment and of an update', async () => {
    await start();
    const slow = gate(named('CreateNR', 'DiskCreate', 'VolumeCreate'));
    await stand.deploy(withResults(tenant.contracted(host, 1n, fullDeployment())));
    await slow.reached;
    const results = async () => (await got()).workloads.map(({ result }) => result);
    expect((await results()).map(({ state, data }) => `${state}${data}`)).toEqual(['init', 'init', 'init']);
    slow.open();
    await stand.running();
    await stand.update(withResults(next(1n, 1, ...fullDeployment(), at(1, volumeWorkload('vol1', GIB)))));
    await settles(['net1 0 ok', 'disk1 0 ok', 'vm1 0 ok', 'vol1 1 ok']);
    expect(JSON.stringify(await results())).not.toContain('185.1.2');
    const written = readFileSync(join(stand.folder, 'provisiond', 'journal.sqlite-wal'), 'latin1');
    expect(written).not.toContain('185.1.2.3');
  });

  it('W25: make no workload of a type with addresses', async () => {
    await start();
    const ip = { ...diskWorkload('ip1', GIB), type: 'ipv4', data: '{}' };
    const struct = deploymentToStruct(withResults(tenant.contracted(host, 1n, [ip])));
    await expect(bus.of(provision).CreateOrUpdate({ twin: 7, deployment: struct, update: false })).rejects.toThrow(
      /does not run/,
    );
  });
});

describe('W26: a chain that answers wrongly', () => {
  const answers: Readonly<Record<string, () => void>> = {
    // As an endpoint that lost its state.
    'has no contract at all': () => {
      for (const [id, facts] of host.contracts) host.contracts.set(id, { ...facts, Found: false });
    },
    'answers nothing': () => {
      host.hook = ({ method }) => {
        if (method === 'ContractBatch' || method === 'Contract') throw new Error('state already discarded');
      };
    },
  };

  it.each(Object.keys(answers))('W26: and %s empties no node', async (which) => {
    const limits = { intervalMs: 20, backlogMs: 20, retryMs: 20, confirmDelayMs: 5, removalsPerRun: 2 };
    const contractLimits = { ...limits, readDeadlineMs: 2_000, movedDelayMs: 60_000 };
    await start({ contractLimits: { ...contractLimits, intervalMs: 60_000 } });
    for (let contract = 1n; contract <= 6n; contract++) await deployed(contract, volumeWorkload('vol1', GIB));
    await stand.stopHere();
    const true_ = new Map(host.contracts);
    answers[which]?.();
    // The answer is right again before it could be confirmed at a later block.
    let reads = 0;
    const wrong = host.hook;
    host.hook = (call, when) => {
      if ((call.method === 'Contract' || call.method === 'ContractBatch') && when === 'before') reads += 1;
      if (reads > 6) for (const [id, facts] of true_) host.contracts.set(id, facts);
      else return wrong(call, when);
    };
    await start({ contractLimits });
    await expect.poll(() => reads).toBeGreaterThan(10);
    expect(host.volumes.size).toBe(6);
    for (let contract = 1n; contract <= 6n; contract++) expect(await standing(contract)).toEqual(['vol1 0 ok']);
    // One that is really gone goes.
    true_.clear();
    await ends(3n);
    expect(host.volumes.size).toBe(5);
  });

  it('W26: and goes on doing so takes no more at a time than a person can notice', async () => {
    const daemon = await start();
    for (let contract = 1n; contract <= 14n; contract++) await deployed(contract, volumeWorkload('vol1', GIB));
    for (const [id, facts] of host.contracts) host.contracts.set(id, { ...facts, Found: false });
    const given = await daemon.contracts.compare(new AbortController().signal);
    expect(given).toBe(10);
  });
});

describe('W27: signatures', () => {
  it('W27: a key is forgotten when it fails: who changed it signs with the new one, and not with the old', async () => {
    await start();
    await deployed(1n, volumeWorkload('vol1', GIB));
    const renewed = new Tenant(7);
    const update = (by: Tenant, version: number): Deployment => {
      const deployment = by.deployment(1n, [at(version, volumeWorkload('vol1', (version + 1) * GIB))], version);
      host.rehash(deployment);
      return deployment;
    };
    // The chain has the new key, and nobody told.
    host.twins.set(7, renewed.publicKey);
    const first = update(renewed, 1);
    // Who sends wrong signatures does not decide how often the chain is asked: a key is a second old before it is read again.
    const isTaken = () =>
      stand.update(first).then(
        () => true,
        () => false,
      );
    await expect.poll(isTaken).toBe(true);
    await settles(['vol1 1 ok']);
    expect((await stand.refused(update(tenant, 2), 7, true)).message).toMatch(/failed to verify signature/);
  });

  it('W27: a wrong signature is one, whoever gave it, and an optional signer may be absent', async () => {
    await start();
    const second = new Tenant(8);
    host.twins.set(8, second.publicKey);
    const plain = tenant.deployment(1n, [networkWorkload('net1'), machineWorkload('vm1')]);
    const { signature_requirement: requirement } = plain;
    requirement.requests.push({ twin_id: 8, required: false, weight: 1 }, { twin_id: 9, required: false, weight: 1 });
    requirement.weight_required = 2;
    const signed = (...signers: Tenant[]): Deployment => ({
      ...plain,
      signature_requirement: { ...requirement, signatures: signers.map((one) => one.signature(plain)) },
    });
    tenant.contracted(host, 1n, []);
    host.rehash(plain);
    expect((await stand.refused(signed(tenant))).message).toMatch(/required signature weight is not reached/);
    expect((await stand.refused(signed(tenant, new Tenant(8)))).message).toMatch(/failed to verify signature/);
    expect((await stand.refused(signed(second))).message).toMatch(/missing required signature for twin '7'/);
    await stand.deploy(signed(tenant, second));
    await stand.running();
  });
});

it('W28: no program of the node gives text to a shell', () => {
  const sources = execFileSync('git', ['-C', ROOT, 'ls-files', 'modules', 'provision', 'gateway', 'cli'], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.includes('/testing/'));
  expect(sources.length).toBeGreaterThan(300);
  const shells =
    /\bshell: *true|\bexecSync\(|import \{[^}]*\bexec\b[^}]*\} from 'node:child_process'|['"`](\/bin\/)?(ba|da|z)?sh['"`], *\[/;
  expect(sources.filter((path) => shells.test(readFileSync(join(ROOT, path), 'utf8')))).toEqual([]);
});
