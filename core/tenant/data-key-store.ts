import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { DecryptCommand, GenerateDataKeyCommand, type KMSClient } from '@aws-sdk/client-kms';
import { auditEntry } from '../audit/audit-store.ts';
import type { TenantId } from '../ids.ts';
import { isNew, type Table, TransactionRefused, type Write } from '../table/client.ts';
import { dataKeyKey } from '../table/keys.ts';

/** A tenant's data keys as they are stored: the first one in `wrapped`, later ones by their version in `wraps`. */
type StoredKeys = { wrapped?: Uint8Array; wraps?: Record<string, Uint8Array>; current?: number; rotatedAt?: string };

/** What a rotation goes by: the version that new seals use, since when, and the older ones that still open what they sealed. */
export type DataKeys = { current: number; older: number[]; rotatedAt?: string };

/** A tenant's key is unwrapped once per this long and process: long enough to spare KMS, short enough to follow a rotation. */
const CACHE_MS = 5 * 60_000;
const CACHE_KEYS = 1000;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** `<version>.<base64url>`; what the first key sealed bears no version. */
const SEALED = /^(?:(\d{1,6})\.)?([\w-]*)$/;

/**
 * Seals a tenant's secrets with AES-256-GCM under a data key of that tenant, which KMS wraps with the tenant's id as
 * encryption context. What is sealed for one tenant or one purpose opens for no other: both are authenticated.
 */
export class Vault {
  private readonly kept = new Map<TenantId, { stored: StoredKeys; keys: Map<number, Buffer>; until: number }>();
  private readonly kms: KMSClient;
  private readonly table: Table;

  constructor(kms: KMSClient, table: Table) {
    this.kms = kms;
    this.table = table;
  }

  /** Text -> sealed text (base64url). `purpose` says what it is and for whom; opening needs the same. */
  async seal(tenant: TenantId, purpose: string, text: string): Promise<string> {
    const { current = 1 } = (await this.keysOf(tenant)).stored;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', await this.key(tenant, current), nonce).setAAD(Buffer.from(`${tenant}\n${purpose}`));
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    const sealed = Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url');
    return current === 1 ? sealed : `${current}.${sealed}`;
  }

  /** The text that was sealed; undefined when it was not sealed by this tenant for this purpose, or was tampered with. */
  async open(tenant: TenantId, purpose: string, sealed: string): Promise<string | undefined> {
    const [, , text = ''] = SEALED.exec(sealed) ?? [];
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const key = await this.key(tenant, versionOf(sealed)).catch(nothingIfUnknown);
    if (!key) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(`${tenant}\n${purpose}`))
      .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }

  private async key(tenant: TenantId, version: number): Promise<Buffer> {
    let kept = await this.keysOf(tenant);
    // Another process has rotated the key since this one looked: what it sealed must open here at once.
    if (!wrappedKey(kept.stored, version)) kept = await this.readKeys(tenant);
    const known = kept.keys.get(version);
    if (known) return known;
    const CiphertextBlob = wrappedKey(kept.stored, version);
    if (!CiphertextBlob) throw new UnknownKey();
    const { Plaintext } = await this.kms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: { tenant } }));
    const key = Buffer.from(Plaintext as Uint8Array);
    kept.keys.set(version, key);
    return key;
  }

  private async keysOf(tenant: TenantId) {
    const kept = this.kept.get(tenant);
    return kept && kept.until > performance.now() ? kept : this.readKeys(tenant);
  }

  private async readKeys(tenant: TenantId) {
    const stored = await this.table.get<StoredKeys>(dataKeyKey(tenant));
    if (!stored) throw new Error('the tenant has no data key');
    if (this.kept.size >= CACHE_KEYS) this.kept.delete(this.kept.keys().next().value as TenantId);
    const fresh = { stored, keys: new Map<number, Buffer>(), until: performance.now() + CACHE_MS };
    this.kept.set(tenant, fresh);
    return fresh;
  }
}

/** The version of the key that sealed a text. */
export const versionOf = (sealed: string): number => Number(SEALED.exec(sealed)?.[1] ?? 1);

/** The write that gives a new tenant its data key. */
export async function newDataKey(kms: KMSClient, keyId: string, tenant: TenantId): Promise<Write> {
  return { put: { ...dataKeyKey(tenant), wrapped: await generate(kms, keyId, tenant) }, condition: isNew };
}

/** Which keys a tenant has; undefined when there is no such tenant. */
export async function readDataKeys(table: Table, tenant: TenantId): Promise<DataKeys | undefined> {
  const stored = await table.get<StoredKeys>(dataKeyKey(tenant));
  if (!stored) return undefined;
  const { current = 1, rotatedAt } = stored;
  const versions = [...(stored.wrapped ? [1] : []), ...Object.keys(stored.wraps ?? {}).map(Number)];
  return { current, older: versions.filter((version) => version < current), rotatedAt };
}

/** Adds another key, which seals from now on; the one before still opens. When somebody else just added one, theirs counts. */
export async function addDataKey(
  kms: KMSClient,
  keyId: string,
  table: Table,
  tenant: TenantId,
  before: DataKeys,
  now: Date,
): Promise<void> {
  const version = before.current + 1;
  const at = now.toISOString();
  const wrapped = await generate(kms, keyId, tenant);
  const isFirst = before.current === 1;
  const writes: Write[] = [
    {
      update: dataKeyKey(tenant),
      with: {
        update: `SET ${isFirst ? 'wraps = :wraps' : 'wraps.#version = :wrapped'}, #current = :version, rotatedAt = :at`,
        condition: isFirst ? 'attribute_exists(pk) AND attribute_not_exists(#current)' : '#current = :before',
        names: { '#current': 'current', ...(isFirst ? {} : { '#version': String(version) }) },
        values: {
          ...(isFirst ? { ':wraps': { [version]: wrapped } } : { ':wrapped': wrapped, ':before': before.current }),
          ':version': version,
          ':at': at,
        },
      },
    },
    auditEntry(tenant, { at, actor: 'operator', action: 'data-key.rotate', subject: `tenant:${tenant}`, after: { version } }),
  ];
  await table.transact(writes).catch((error: unknown) => {
    if (!(error instanceof TransactionRefused)) throw error;
  });
}

/** Takes the older keys away: what they sealed and nobody sealed anew is lost from this moment. */
export async function dropOlderKeys(table: Table, tenant: TenantId, { current, older }: DataKeys, now: Date): Promise<void> {
  const paths = older.map((version) => (version === 1 ? '#wrapped' : `wraps.#v${version}`));
  const names = older.map((version) => (version === 1 ? ['#wrapped', 'wrapped'] : [`#v${version}`, String(version)]));
  await table.transact([
    {
      update: dataKeyKey(tenant),
      with: {
        update: `REMOVE ${paths.join(', ')}`,
        condition: '#current = :current',
        names: { '#current': 'current', ...Object.fromEntries(names) },
        values: { ':current': current },
      },
    },
    auditEntry(tenant, {
      at: now.toISOString(),
      actor: 'operator',
      action: 'data-key.drop',
      subject: `tenant:${tenant}`,
      before: { versions: older },
    }),
  ]);
}

async function generate(kms: KMSClient, keyId: string, tenant: TenantId): Promise<Uint8Array> {
  const { CiphertextBlob } = await kms.send(
    new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: { tenant } }),
  );
  return CiphertextBlob as Uint8Array;
}

const wrappedKey = ({ wrapped, wraps }: StoredKeys, version: number) => (version === 1 ? wrapped : wraps?.[version]);

class UnknownKey extends Error {}

function nothingIfUnknown(error: unknown): undefined {
  if (!(error instanceof UnknownKey)) throw error;
}
