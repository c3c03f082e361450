import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { DecryptCommand, GenerateDataKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import type { TenantId } from '../ids.ts';
import { isNew, type Table, type Write } from '../table/client.ts';
import { dataKeyKey } from '../table/keys.ts';

type StoredKey = { wrapped: Uint8Array };

/** A tenant's key is unwrapped once per this long and process: long enough to spare KMS, short enough to follow a rotation. */
const CACHE_MS = 5 * 60_000;
const CACHE_KEYS = 1000;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals a tenant's secrets with AES-256-GCM under a data key of that tenant, which KMS wraps with the tenant's id as
 * encryption context. What is sealed for one tenant or one purpose opens for no other: both are authenticated.
 */
export class Vault {
  private readonly keys = new Map<TenantId, { key: Buffer; until: number }>();
  private readonly kms: KMSClient;
  private readonly table: Table;

  constructor(kms: KMSClient, table: Table) {
    this.kms = kms;
    this.table = table;
  }

  /** Text -> sealed text (base64url). `purpose` says what it is and for whom; opening needs the same. */
  async seal(tenant: TenantId, purpose: string, text: string): Promise<string> {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', await this.keyOf(tenant), nonce).setAAD(Buffer.from(`${tenant}\n${purpose}`));
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url');
  }

  /** The text that was sealed; undefined when it was not sealed by this tenant for this purpose, or was tampered with. */
  async open(tenant: TenantId, purpose: string, sealed: string): Promise<string | undefined> {
    const bytes = Buffer.from(sealed, 'base64url');
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', await this.keyOf(tenant), bytes.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(`${tenant}\n${purpose}`))
      .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }

  private async keyOf(tenant: TenantId): Promise<Buffer> {
    const cached = this.keys.get(tenant);
    if (cached && cached.until > performance.now()) return cached.key;
    const stored = await this.table.get<StoredKey>(dataKeyKey(tenant));
    if (!stored) throw new Error('the tenant has no data key');
    const { Plaintext } = await this.kms.send(new DecryptCommand({ CiphertextBlob: stored.wrapped, EncryptionContext: { tenant } }));
    const key = Buffer.from(Plaintext as Uint8Array);
    if (this.keys.size >= CACHE_KEYS) this.keys.delete(this.keys.keys().next().value as TenantId);
    this.keys.set(tenant, { key, until: performance.now() + CACHE_MS });
    return key;
  }
}

/** The write that gives a new tenant its data key. */
export async function newDataKey(kms: KMSClient, keyId: string, tenant: TenantId): Promise<Write> {
  const { CiphertextBlob } = await kms.send(
    new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: { tenant } }),
  );
  return { put: { ...dataKeyKey(tenant), wrapped: CiphertextBlob }, condition: isNew };
}
