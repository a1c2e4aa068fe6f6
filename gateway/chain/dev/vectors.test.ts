/** Bytes that the real runtime gives for the same values. */

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { waitReady } from '../../rmb/wasm-crypto.ts';
import { accountFromAddress, addressFromAccount } from '../ss58.ts';
import { Contract, contracts } from './description/contracts.ts';
import { Twin } from './description/grid-types.ts';
import { timestamp } from './description/money.ts';
import { storageKey } from './description/pallet.ts';
import { palletTypes } from './description/runtime.ts';
import { system } from './description/system.ts';
import { tfgrid } from './description/tfgrid.ts';
import { type Era, EraCodec, eraBirth } from './description/transaction.ts';
import { RuntimeCall } from './description/types.ts';
import { devAccounts } from './genesis.ts';
import { Reader, ScaleError, Writer } from './scale/bytes.ts';
import { decode, encode } from './scale/codec.ts';
import { fromHex, toHex } from './scale/hashing.ts';

const packed = (hex: string): string => `0x${hex.replaceAll(' ', '')}`;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const HASH = ascii('9021d4dee05a661e2cb6838152c67f25');
const HASH_HEX = '39303231643464656530356136363165 32636236383338313532633637663235';
const call = (kind: string, method: string, value: unknown) => ({ kind, value: [{ kind: method, value }] }) as const;

beforeAll(async () => {
  await waitReady();
});

describe('storage keys', () => {
  const grid = tfgrid.storage;
  const work = contracts.storage;
  it.each([
    [
      'twins(1)',
      () => storageKey(grid.Twins, [1]),
      '19a2526838feefd7695a3b5715b415b1 311378229266fc86f673a3f4cf398e69 d82c12285b5d4551f88e8f6e7eb52b81 01000000',
    ],
    [
      'twins(17)',
      () => storageKey(grid.Twins, [17]),
      '19a2526838feefd7695a3b5715b415b1311378229266fc86f673a3f4cf398e69e37562bb4844e827a9b9fc94ab966edb11000000',
    ],
    [
      'twinIdByAccountID',
      () =>
        storageKey(grid.TwinIdByAccountID, [
          fromHex('0x03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8'),
        ]),
      '19a2526838feefd7695a3b5715b415b1aca6514962aa3f0d58aff3524045f9e040bca4eaf9d2b097ff8dbaa4d61767ed 03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8',
    ],
    [
      'contracts(7)',
      () => storageKey(work.Contracts, [7n]),
      '44cb2e51a1811cda53a74b4395e03d57 4342193e496fab7ec59d615ed0dc5530 a5e47192376d46472707aad6430c235b 0700000000000000',
    ],
    [
      'activeNodeContracts(3)',
      () => storageKey(work.ActiveNodeContracts, [3]),
      '44cb2e51a1811cda53a74b4395e03d57 cb18d6eb87c8dd12c5bccb70223c480a de18007c0afadc771c45bf719bc7fe51 03000000',
    ],
    [
      'activeRentContractForNode(3)',
      () => storageKey(work.ActiveRentContractForNode, [3]),
      '44cb2e51a1811cda53a74b4395e03d57 734c55a9ec907b6b8254aeac6042f991 de18007c0afadc771c45bf719bc7fe51 03000000',
    ],
    [
      'nodePower(3)',
      () => storageKey(grid.NodePower, [3]),
      '19a2526838feefd7695a3b5715b415b1 bbe9ea91f5704625862feab196816dfb de18007c0afadc771c45bf719bc7fe51 03000000',
    ],
    [
      'contractIDByNameRegistration(mysub)',
      () => storageKey(work.ContractIDByNameRegistration, [ascii('mysub')]),
      '44cb2e51a1811cda53a74b4395e03d57 364bdba29acc58a903c46b1daed736d1 9621dcbed262e26e8b837bbbf52fdaa6 14 6d79737562',
    ],
    [
      'system.events',
      () => storageKey(system.storage.Events, []),
      '26aa394eea5630e07c48ae0c9558cef7 80d41e5e16056765bc8461851072c9d7',
    ],
    [
      'timestamp.now',
      () => storageKey(timestamp.storage.Now, []),
      'f0c365c3cf59d671eb72da0e7a4113c4 9f1f0515f462cdcf84e0f1d6045dfcbb',
    ],
  ])('%s', (_name, key, hex) => {
    expect(key()).toBe(packed(hex));
  });
});

describe('calls', () => {
  const report = { contract_id: 7n, timestamp: 1_700_000_000n, window: 3600n, nru: 1000n };
  const resources = { contract_id: 7n, used: { hru: 0n, sru: 1n, cru: 2n, mru: 3n } };
  it.each([
    [
      call('SmartContractModule', 'create_node_contract', {
        node_id: 3,
        deployment_hash: HASH,
        deployment_data: ascii('{}'),
        public_ips: 1,
        solution_provider_id: null,
      }),
      `1a00 03000000 ${HASH_HEX} 087b7d 01000000 00`,
    ],
    [
      call('TfgridModule', 'report_uptime_v2', { uptime: 100n, timestamp_hint: 1_700_000_000n }),
      '1926 6400000000000000 00f1536500000000',
    ],
    [call('TfgridModule', 'change_power_state', { power_state: { kind: 'Down' } }), '1923 01'],
    [
      call('SmartContractModule', 'add_nru_reports', { reports: [report] }),
      '1a05 04 0700000000000000 00f1536500000000 100e000000000000 e803000000000000',
    ],
    [
      call('SmartContractModule', 'report_contract_resources', { contract_resources: [resources] }),
      '1a06 04 0700000000000000 0000000000000000 0100000000000000 0200000000000000 0300000000000000',
    ],
  ])('%#', (value, hex) => {
    expect(toHex(encode(RuntimeCall, value))).toBe(packed(hex));
    expect(decode(RuntimeCall, fromHex(packed(hex)))).toEqual(value);
  });
});

describe('records', () => {
  it('a node contract in its grace period', () => {
    const address = { ip: ascii('185.206.122.10/24'), gateway: ascii('185.206.122.1'), contract_id: 7n };
    const value = {
      version: 4,
      state: { kind: 'GracePeriod', value: [100n] as [bigint] },
      contract_id: 7n,
      twin_id: 2,
      contract_type: {
        kind: 'NodeContract',
        value: [
          {
            node_id: 3,
            deployment_hash: HASH,
            deployment_data: ascii('{}'),
            public_ips: 1,
            public_ips_list: [address],
          },
        ] as never,
      },
      solution_provider_id: 5n,
    } as const;
    const hex = packed(
      `04000000 02 6400000000000000 0700000000000000 02000000 00 03000000 ${HASH_HEX} 087b7d 01000000 04` +
        '44 3138352e3230362e3132322e31302f3234 34 3138352e3230362e3132322e31 0700000000000000 01 0500000000000000',
    );
    expect(toHex(encode(Contract, value))).toBe(hex);
    expect(decode(Contract, fromHex(hex))).toEqual(value);
  });

  it.each([
    [
      { id: 2, account_id: fromHex(devAccounts['Alice/sr25519']), relay: ascii('relay.dev.grid.tf'), pk: null },
      '02000000 d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d 01 44 72656c61792e6465762e677269642e7466 00 00',
    ],
    [
      {
        id: 17,
        account_id: fromHex('0x03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8'),
        relay: ascii('r1.example.com_r2.example.com'),
        pk: fromHex('0x036d6caac248af96f6afa7f904f550253a0f3ef3f5aa2fe6838a95b216691468e2'),
      },
      '1100000003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8017472312e6578616d706c652e636f6d5f72322e6578616d706c652e636f6d000184036d6caac248af96f6afa7f904f550253a0f3ef3f5aa2fe6838a95b216691468e2',
    ],
    [
      {
        id: 17,
        account_id: fromHex('0x03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8'),
        relay: null,
        pk: null,
      },
      '1100000003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8000000',
    ],
  ])('twin %#', (twin, hex) => {
    expect(toHex(encode(Twin, { ...twin, entities: [] }))).toBe(packed(hex));
  });

  it('development accounts are the ones everyone knows', () => {
    const addresses = {
      'Alice/sr25519': '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY',
      'Bob/sr25519': '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty',
      'Alice/ed25519': '5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu',
      'Bob/ed25519': '5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E',
    };
    for (const [name, address] of Object.entries(addresses)) {
      const account = devAccounts[name as keyof typeof devAccounts];
      expect(toHex(accountFromAddress(address))).toBe(account);
      expect(addressFromAccount(fromHex(account))).toBe(address);
    }
    expect(() => accountFromAddress('5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ')).toThrow(RangeError);
  });
});

describe('the SCALE codec', () => {
  it('keeps compact integers of every width', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (value) => {
        const out = new Writer();
        out.compact(value);
        const input = new Reader(out.done());
        return input.compact() === value && input.remaining === 0;
      }),
    );
  });

  it('keeps eras, and each begins at or before the current block and less than a period ago', () => {
    const mortal = fc.record({ log: fc.integer({ min: 2, max: 12 }), phase: fc.nat(), now: fc.integer({ min: 5000 }) });
    fc.assert(
      fc.property(mortal, ({ log, phase, now }) => {
        const period = 2 ** log;
        const era: Era = { kind: 'mortal', period, phase: phase % period };
        expect(decode(EraCodec, encode(EraCodec, era))).toEqual(era);
        const birth = eraBirth(era, now);
        return birth <= now && now - birth < period;
      }),
    );
  });

  it('answers any bytes with a value or a ScaleError, never with anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decode(RuntimeCall, bytes);
          return true;
        } catch (error) {
          return error instanceof ScaleError;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses a list that claims more than there is', () => {
    expect(() => decode(RuntimeCall, fromHex('0x1a05fefffffffe'))).toThrow(ScaleError);
    expect(palletTypes.size).toBeGreaterThan(5);
  });
});
