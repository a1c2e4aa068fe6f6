/** The first state: funded accounts, prices and policies that clients read. */
import { balances, tftPrice } from './description/money.ts';
import { runtimeVersion, system } from './description/system.ts';
import { tfgrid } from './description/tfgrid.ts';
import { fromHex } from './scale/hashing.ts';
import { Overlay } from './state.ts';

/** 7 decimals: ten million uTFT are one TFT. */
const TFT = 10_000_000n;
const ENDOWMENT = 1_000_000n * TFT;

/** Public keys of the well-known development seeds. */
export const devAccounts = {
  'Alice/sr25519': '0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d',
  'Bob/sr25519': '0x8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48',
  'Alice/ed25519': '0x88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee',
  'Bob/ed25519': '0xd17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69',
} as const;

/** The chain's state before its first block. */
export function genesis(): Overlay {
  const state = new Overlay(() => null);
  const accounts = Object.values(devAccounts).map(fromHex);
  for (const account of accounts) {
    const data = { free: ENDOWMENT, reserved: 0n, frozen: 0n, flags: 1n << 127n };
    state.write(system.storage.Account, [account], { nonce: 0, consumers: 0, providers: 1, sufficients: 0, data });
  }
  state.write(balances.storage.TotalIssuance, [], ENDOWMENT * BigInt(accounts.length));
  const { spec_version, spec_name } = runtimeVersion;
  state.write(system.storage.LastRuntimeUpgrade, [], { spec_version, spec_name });

  const name = new TextEncoder().encode('threefold_default_pricing_policy');
  const unit = { kind: 'Gigabytes' } as const;
  const foundation = accounts[0] as Uint8Array;
  state.write(tfgrid.storage.PricingPolicies, [1], {
    version: 4,
    id: 1,
    name,
    su: { value: 50_000, unit },
    cu: { value: 100_000, unit },
    nu: { value: 15_000, unit },
    ipu: { value: 40_000, unit },
    unique_name: { value: 2_500, unit },
    domain_name: { value: 5_000, unit },
    foundation_account: foundation,
    certified_sales_account: foundation,
    discount_for_dedication_nodes: 50,
  });
  state.write(tfgrid.storage.PricingPolicyID, [], 1);
  state.write(tfgrid.storage.ConnectionPrice, [], 80);
  state.write(tfgrid.storage.ZosVersion, [], new TextEncoder().encode('{"safe_to_upgrade":true,"version":"0.0.0"}'));
  for (const item of [tftPrice.storage.TftPrice, tftPrice.storage.AverageTftPrice, tftPrice.storage.MinTftPrice]) {
    state.write(item, [], 10);
  }
  state.write(tftPrice.storage.MaxTftPrice, [], 1000);
  return state;
}
