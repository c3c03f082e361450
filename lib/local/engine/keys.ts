import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { note } from './calls.ts';
import { type Answer, demand, type Grants, HOST, jsonService, Refusal } from './server.ts';

type Input = {
  KeyId?: string;
  EncryptionContext?: Record<string, string>;
  Plaintext?: string;
  CiphertextBlob?: string;
  KeySpec?: 'AES_256' | 'AES_128';
  NumberOfBytes?: number;
};

type MasterKey = { arn: string; secret: string };

/** The one KMS key: made on first use, readable by the user alone. */
export function masterKey(file: string, region: string): MasterKey {
  if (!existsSync(file)) {
    const key = { arn: `arn:aws:kms:${region}:000000000000:key/${randomUUID()}`, secret: randomBytes(32).toString('base64') };
    writeFileSync(file, JSON.stringify(key), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(file, 'utf8')) as MasterKey;
}

/** KMS: GenerateDataKey, Encrypt and Decrypt under one key; the encryption context is authenticated, as in KMS. */
export function keyService(key: MasterKey, grants: Grants): Answer {
  const secret = Buffer.from(key.secret, 'base64');
  return jsonService('1.1', (caller, action, input: Input) => {
    const named = Object.entries(input.EncryptionContext ?? {}).map(([name, value]) => [`kms:EncryptionContext:${name}`, value]);
    note(caller, `kms:${action}`, 'key', { context: Object.fromEntries(named) });
    demand(grants, caller, 'key', action);
    // The grant on AWS has this condition: a call that names no tenant is refused.
    if (caller !== HOST && !input.EncryptionContext?.tenant)
      throw new Refusal(400, 'AccessDeniedException', 'The encryption context names no tenant.');
    if (input.KeyId !== undefined && input.KeyId !== key.arn && input.KeyId !== key.arn.split('/')[1]) {
      throw new Refusal(400, 'NotFoundException', `Key '${input.KeyId}' does not exist`);
    }
    const KeyId = key.arn;
    if (action === 'Decrypt') {
      const plain = open(secret, Buffer.from(input.CiphertextBlob ?? '', 'base64'), input.EncryptionContext);
      return { KeyId, Plaintext: plain.toString('base64'), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
    }
    if (input.KeyId === undefined) throw new Refusal(400, 'ValidationException', "Value null at 'keyId' failed to satisfy constraint");
    if (action === 'Encrypt') {
      const plain = Buffer.from(input.Plaintext ?? '', 'base64');
      if (plain.length === 0 || plain.length > 4096) throw new Refusal(400, 'ValidationException', 'Plaintext must have 1 to 4096 bytes');
      return { KeyId, CiphertextBlob: seal(secret, plain, input.EncryptionContext), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
    }
    if (action === 'GenerateDataKey') {
      const plain = randomBytes(input.NumberOfBytes ?? (input.KeySpec === 'AES_128' ? 16 : 32));
      return { KeyId, Plaintext: plain.toString('base64'), CiphertextBlob: seal(secret, plain, input.EncryptionContext) };
    }
    throw new Refusal(400, 'UnknownOperationException', `The local KMS does not know ${action}`);
  });
}

function seal(secret: Buffer, plain: Buffer, context: Record<string, string> = {}): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', secret, iv).setAAD(contextBytes(context));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64');
}

function open(secret: Buffer, blob: Buffer, context: Record<string, string> = {}): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret, blob.subarray(0, 12), { authTagLength: 16 })
      .setAAD(contextBytes(context))
      .setAuthTag(blob.subarray(12, 28));
    return Buffer.concat([decipher.update(blob.subarray(28)), decipher.final()]);
  } catch {
    throw new Refusal(400, 'InvalidCiphertextException', 'The ciphertext is not of this key and this encryption context.');
  }
}

const contextBytes = (context: Record<string, string>) =>
  Buffer.from(JSON.stringify(Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))));
