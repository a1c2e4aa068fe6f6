/** The golden vectors of `test/vectors/deployment.json`, as far as they are published. */
import { z } from 'zod';

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));

export const signedFields = {
  key: z.object({
    twin_id: z.int().meta({ description: 'the twin' }),
    mnemonic: z.string().optional().meta({ description: 'its phrase, where it has one' }),
    seed_hex: z.string().meta({ description: '32 bytes, hex with `0x`' }),
    ed25519_public_key: hex(32).meta({ description: '32 bytes, hex' }),
    sr25519_public_key: hex(32).meta({ description: '32 bytes, hex' }),
  }),
  signature: z.object({
    twin_id: z.int().meta({ description: 'who signed' }),
    signature: hex(64).meta({ description: '64 bytes, hex' }),
    signature_type: z.enum(['ed25519', 'sr25519']).meta({ description: 'kind of key' }),
  }),
};

type Deployment = Readonly<Record<string, unknown>>;
type Signature = z.output<typeof signedFields.signature>;

export interface Signed {
  readonly name: string;
  readonly note: string;
  readonly deployment: Deployment;
  readonly pieces: readonly (readonly [string, string])[];
  readonly challenge: string;
  readonly hash_hex: string;
  readonly chain_deployment_hash: string;
  readonly message_to_sign_hex: string;
  readonly signatures_ed25519: readonly Signature[];
  readonly signatures_sr25519_sample: readonly Signature[];
  readonly node_capacity: Readonly<Record<string, number>>;
  readonly upgrade_from?: Deployment;
  readonly upgrade?: { readonly operations: readonly string[] };
  readonly ts_client_2_9_2?: Readonly<Record<string, string>>;
}

export interface GoldenVectors {
  readonly keys: readonly object[];
  readonly ids: readonly {
    readonly kind: string;
    readonly twin_id?: number;
    readonly name?: string;
    readonly workload_id?: string;
    readonly n?: string;
    readonly md5_input: string;
    readonly id: string;
  }[];
  readonly cases: readonly Signed[];
  readonly edge_cases: readonly {
    readonly name: string;
    readonly kind: string;
    readonly deployment: Deployment;
    readonly upgrade_from?: Deployment;
    readonly expect: {
      readonly ok?: boolean;
      readonly error?: string;
      readonly language_specific_text?: boolean;
      readonly operations?: readonly string[];
    };
  }[];
}
