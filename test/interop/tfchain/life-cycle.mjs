// Drives the official client against the chain at argv[2] and prints one line `RESULT {json}`.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Client } = require('@threefold/tfchain_client');

const url = process.argv[2];
const HASH = '9021d4dee05a661e2cb6838152c67f25';
const result = { ms: {} };

async function timed(name, work) {
  const start = performance.now();
  const value = await work();
  result.ms[name] = Math.round(performance.now() - start);
  return value;
}

const apply = async (name, extrinsic) => timed(name, async () => (await extrinsic).apply());
const refusal = async (extrinsic) =>
  (await extrinsic).apply().then(
    () => 'accepted',
    (error) => error.keyError ?? error.message,
  );

const farmer = new Client({ url, mnemonicOrSecret: '//Alice', keypairType: 'sr25519' });
const node = new Client({ url, mnemonicOrSecret: '//Bob', keypairType: 'ed25519' });
await timed('connect', () => farmer.connect());
await node.connect();

result.withoutTerms = await refusal(farmer.twins.create({ relay: 'relay.example', pk: null }));
for (const client of [farmer, node]) {
  const terms = { documentLink: 'http://zos.tf/terms/v0.1', documentHash: HASH };
  await apply('acceptTerms', client.termsAndConditions.accept(terms));
}
result.twin = await apply('createTwin', farmer.twins.create({ relay: 'relay.example', pk: '0x0211' }));
await apply('createTwin', node.twins.create({ relay: null, pk: null }));
result.myTwin = await farmer.twins.getMyTwinId();
result.twinRead = await farmer.twins.get({ id: result.twin.id });
const publicIps = [{ ip: '185.206.122.10/24', gw: '185.206.122.1' }];
result.farm = await apply('createFarm', farmer.farms.create({ name: 'official', publicIps }));
const registration = node.api.tx.tfgridModule.createNode(
  result.farm.id,
  { hru: 0, sru: 512, cru: 8, mru: 1024 },
  { city: 'Ghent', country: 'Belgium', latitude: '51', longitude: '3' },
  [{ name: 'zos', mac: '54:b2:03:00:00:01', ips: ['10.0.0.2/24'] }],
  false,
  true,
  null,
);
result.node = await apply('createNode', node.patchExtrinsic(registration));
const wanted = { nodeId: result.node.id, hash: HASH, data: '{"v":3}', numberOfPublicIps: 1, solutionProviderId: null };
result.contract = await apply('createNodeContract', farmer.contracts.createNode(wanted));
result.duplicate = await refusal(farmer.contracts.createNode(wanted));
result.contractRead = await farmer.contracts.get({ id: result.contract.contractId });
result.byHash = await farmer.contracts.getContractIdByNodeIdAndHash({ nodeId: result.node.id, hash: HASH });
result.active = await farmer.contracts.getActiveContracts({ nodeId: result.node.id });
const update = { id: result.contract.contractId, hash: HASH.replace('9', '8'), data: '{}' };
result.updated = await apply('updateNodeContract', farmer.contracts.updateNode(update));
result.batch = await timed('batchAll', async () =>
  farmer.applyAllExtrinsics([
    await farmer.contracts.createName({ name: 'first-name' }),
    await farmer.contracts.createName({ name: 'second-name' }),
  ]),
);
await apply('kvSet', farmer.kvStore.set({ key: 'hello', value: 'world' }));
result.kv = await farmer.kvStore.get({ key: 'hello' });
result.price = await farmer.tftPrice.get();
result.balance = await farmer.balances.getMyBalance();
result.cancelled = await apply('cancel', farmer.contracts.cancel({ id: result.contract.contractId }));
result.gone = await farmer.contracts.get({ id: result.contract.contractId });
result.lookup = compareWithLookup(farmer.api.registry.lookup);
await farmer.disconnect();

process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`);
process.exit(0);

/** Field and variant names of every type that the client's own description has under the same name. */
function compareWithLookup(lookup) {
  const path = require.resolve('@threefold/tfchain_client').replace(/index\.js$/, 'interfaces/chain/lookup.js');
  const { default: definitions } = require(path);
  const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());
  const differences = [];
  let compared = 0;
  for (const { id, type } of lookup.types) {
    const name = lookup.getName(id);
    const known = name === undefined ? undefined : definitions[name];
    if (known === undefined || typeof known === 'string') continue;
    compared += 1;
    if (type.def.isComposite) {
      const own = type.def.asComposite.fields.map((field) => camel(field.name.unwrapOr('').toString()));
      const theirs = Object.keys(known).filter((field) => field !== '_alias');
      if (own.join() !== theirs.join()) differences.push(`${name}: ${own} / ${theirs}`);
    } else if (type.def.isVariant) {
      const variants = Array.isArray(known._enum) ? known._enum : Object.keys(known._enum);
      for (const variant of type.def.asVariant.variants) {
        const there = variants[variant.index.toNumber()];
        if (there !== variant.name.toString())
          differences.push(`${name}[${variant.index}]: ${variant.name} / ${there}`);
        const fields = Array.isArray(known._enum) ? undefined : known._enum[there];
        const own = variant.fields.map((field) => camel(field.name.unwrapOr('').toString())).filter(Boolean);
        const theirs = typeof fields === 'object' ? Object.keys(fields).filter((field) => field !== '_alias') : [];
        const same = own.join() === theirs.map((field) => field.replace(/_$/, '')).join();
        if (!same) differences.push(`${name}.${there}: ${own} / ${theirs}`);
      }
    }
  }
  return { compared, differences };
}
