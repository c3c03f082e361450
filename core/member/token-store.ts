import { createHash, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { auditEntry } from '../audit/audit-store.ts';
import { conflict, notFound } from '../errors.ts';
import { asTenantId, ID, newSecret, type TenantId } from '../ids.ts';
import { MAX_TOKENS } from '../limits.ts';
import { isLive, isNew, type Table, type Write } from '../table/client.ts';
import { memberKey, memberPartition, tokenKey } from '../table/keys.ts';
import type { Member } from './member.ts';
import type { Viewer } from './viewer.ts';

type Token = { id: string; name: string; hash: string; createdAt: string; expiresAt?: string; lastUsedAt?: string; ttl?: number };

export const tokenInput = z.strictObject({
  name: z.string().trim().min(1).max(100).meta({ description: 'What it is for, so that you know it again', example: 'laptop' }),
  expiresAt: z.iso.datetime().optional().meta({ description: 'When it stops working; never when absent' }),
});
export const tokenReturned = z.object({
  id: z.string(),
  name: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().optional(),
  lastUsedAt: z.string().optional().meta({ description: 'Exact to the hour' }),
});

/** `lastUsedAt` is written at most once in this long: a write for each call would cost more than the call. */
const LAST_USED_EVERY_MS = 3_600_000;
/** What a token looks like: it names its tenant, member and itself, so that checking it is one read of one key. */
const TOKEN = /^cma_([0-9a-z]{16})_([0-9a-z]{26})_([0-9a-z]{26})_([0-9a-z]{52})$/;

/** The write that stores a new token (SHA-256 only), and the token, which nobody can read again. */
export function newToken(tenant: TenantId, member: string, input: { id: string; name: string; expiresAt?: string }, at: string) {
  const secret = newSecret(256);
  const token: Token = { id: input.id, name: input.name, hash: hashOf(secret), createdAt: at, expiresAt: input.expiresAt };
  const ttl = input.expiresAt ? Math.ceil(Date.parse(input.expiresAt) / 1000) : undefined;
  const write: Write = { put: { ...tokenKey(tenant, member, input.id), ...token, ttl }, condition: isNew };
  return { write, token: `cma_${tenant}_${member}_${input.id}_${secret}` };
}

/** Whose token this is; undefined when it is not good (any longer), or its member is not active. */
export async function checkToken(
  table: Table,
  text: string,
  now: Date,
): Promise<{ tenant: TenantId; member: string; token: string } | undefined> {
  const [, tenantText, member, id, secret] = TOKEN.exec(text) ?? [];
  if (!tenantText || !member || !id || !secret) return undefined;
  const tenant = tenantOf(tenantText);
  if (!tenant) return undefined;
  const [token, owner] = await Promise.all([table.get<Token>(tokenKey(tenant, member, id)), table.get<Member>(memberKey(tenant, member))]);
  if (!token || !isLive(token, now) || !isSame(token.hash, hashOf(secret))) return undefined;
  if (owner?.status !== 'active' || !owner.confirmed) return undefined;
  if (now.getTime() - Date.parse(token.lastUsedAt ?? token.createdAt) > LAST_USED_EVERY_MS) await noteUse(table, tenant, member, id, now);
  return { tenant, member, token: id };
}

export async function listTokens(table: Table, viewer: Viewer, now: Date): Promise<Token[]> {
  const tokens = await table.all<Token>({ pk: memberPartition(viewer.tenant, viewer.member), begins: 'K#' });
  return tokens.filter((token) => isLive(token, now));
}

/** Makes a token for the viewer. Throws `too-many-tokens`. */
export async function createToken(table: Table, viewer: Viewer, input: z.output<typeof tokenInput>, id: string, now: Date) {
  if ((await listTokens(table, viewer, now)).length >= MAX_TOKENS) {
    throw conflict('too-many-tokens', `You have ${MAX_TOKENS} tokens, which is the most. Revoke one you no longer use.`);
  }
  const at = now.toISOString();
  const { write, token } = newToken(viewer.tenant, viewer.member, { ...input, id }, at);
  await table.transact([
    write,
    auditEntry(viewer.tenant, { at, actor: viewer.member, action: 'token.create', subject: `token:${id}`, after: { name: input.name } }),
  ]);
  return { id, name: input.name, createdAt: at, expiresAt: input.expiresAt, token };
}

/** Revokes a token of the viewer at once. Throws `not-found`. */
export async function revokeToken(table: Table, viewer: Viewer, id: string, now: Date): Promise<void> {
  if (!ID.test(id)) throw notFound('token');
  const at = now.toISOString();
  await table.transact(
    [
      { delete: tokenKey(viewer.tenant, viewer.member, id), condition: 'attribute_exists(pk)' },
      auditEntry(viewer.tenant, { at, actor: viewer.member, action: 'token.revoke', subject: `token:${id}` }),
    ],
    () => notFound('token'),
  );
}

async function noteUse(table: Table, tenant: TenantId, member: string, id: string, now: Date) {
  await table.update(tokenKey(tenant, member, id), {
    update: 'SET lastUsedAt = :now',
    condition: 'attribute_exists(pk)',
    values: { ':now': now.toISOString() },
  });
}

function tenantOf(text: string): TenantId | undefined {
  try {
    return asTenantId(text);
  } catch {
    return undefined;
  }
}

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex');
const isSame = (a: string, b: string) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
