import { randomInt } from 'node:crypto';
import { conflict, invalid, notFound, tooMany } from '../errors.ts';
import { newId, sha256 } from '../ids.ts';
import { CODE_MINUTES, CODE_TRIES, CODES_PER_HOUR, MAX_SENDERS } from '../limits.ts';
import type { Viewer } from '../member/viewer.ts';
import { isMailable, normaliseAddress } from '../message/address.ts';
import { countInHour } from '../table/hourly-count-store.ts';
import { codesKey, senderAddressKey } from '../table/keys.ts';
import type { Dropbox, RegisteredSender } from './dropbox.ts';
import { changeDropbox, type DropboxStore, ownDropbox } from './dropbox-store.ts';

/** A sender, and the code that is to be mailed to it; no code when the address is already known to be the viewer's. */
export type SenderWithCode = { sender: RegisteredSender; code?: string };

/**
 * Registers an address to send from (BCC-5); at most five (BCC-7). The login address counts at once, every other after
 * the mailed code was given. Throws `invalid-address`, `sender-registered`, `too-many-senders`, `too-many-requests`.
 */
export async function addSender(store: DropboxStore, viewer: Viewer, text: string, now: Date): Promise<SenderWithCode> {
  const address = normaliseAddress(text);
  if (!address || !isMailable(address) || address.endsWith(`@${store.mailDomain}`)) {
    throw invalid('invalid-address', 'Give a mail address you send from, such as mika@example.com: a code is mailed there.');
  }
  const { dropbox } = await ownDropbox(store, viewer, now);
  if (dropbox.senders.some((sender) => sender.address === address)) {
    throw conflict('sender-registered', 'This address is on your list already. If its code did not arrive, ask for another one.');
  }
  if (dropbox.senders.length >= MAX_SENDERS) {
    throw conflict('too-many-senders', `You may register ${MAX_SENDERS} addresses. Remove one first.`);
  }
  const at = now.toISOString();
  const sender: RegisteredSender = { id: newId(now), address, addedAt: at };
  if (address === viewer.email) return { sender: await save(store, dropbox, { ...sender, verifiedAt: at }, 'dropbox.add-sender', now) };
  const code = await newCode(store, viewer, now);
  return { sender: await save(store, dropbox, withCode(dropbox, sender, code, now), 'dropbox.add-sender', now), code };
}

/** Another code for an address that is not verified yet; the one before no longer works. */
export async function sendCodeAgain(store: DropboxStore, viewer: Viewer, id: string, now: Date): Promise<SenderWithCode> {
  const { dropbox, sender } = await findSender(store, viewer, id, now);
  if (sender.verifiedAt) throw conflict('sender-verified', 'This address is verified already; mail from it is filed.');
  const code = await newCode(store, viewer, now);
  return { sender: await save(store, dropbox, withCode(dropbox, sender, code, now), 'dropbox.send-code', now), code };
}

/** Takes the mailed code: from now on mail from this address is filed. Throws `wrong-code`, `code-expired`, `code-used-up`. */
export async function verifySender(store: DropboxStore, viewer: Viewer, id: string, code: string, now: Date): Promise<RegisteredSender> {
  const { dropbox, sender } = await findSender(store, viewer, id, now);
  if (sender.verifiedAt) return sender;
  if (!sender.codeHash || !sender.codeExpiresAt || Date.parse(sender.codeExpiresAt) <= now.getTime()) {
    throw invalid('code-expired', `The code is older than ${CODE_MINUTES} minutes. Ask for another one.`);
  }
  const tries = sender.tries ?? 0;
  if (tries >= CODE_TRIES)
    throw invalid('code-used-up', `The code was wrong ${CODE_TRIES} times and no longer counts. Ask for another one.`);
  if (hashOf(dropbox, sender, code) !== sender.codeHash) {
    await save(store, dropbox, { ...sender, tries: tries + 1 }, 'dropbox.wrong-code', now);
    throw invalid('wrong-code', `This is not the code we mailed. You have ${CODE_TRIES - tries - 1} tries left.`, {
      triesLeft: CODE_TRIES - tries - 1,
    });
  }
  const { codeHash: _hash, codeExpiresAt: _expires, tries: _tries, ...rest } = sender;
  return save(store, dropbox, { ...rest, verifiedAt: now.toISOString() }, 'dropbox.verify-sender', now);
}

/** Takes an address off the list, the login address too; its mail is held from now on (BCC-6). Throws `not-found`. */
export async function removeSender(store: DropboxStore, viewer: Viewer, id: string, now: Date): Promise<void> {
  const { dropbox, sender } = await findSender(store, viewer, id, now);
  const senders = dropbox.senders.filter((one) => one.id !== id);
  await changeDropbox(
    store.table,
    dropbox,
    { update: 'SET senders = :senders', values: { ':senders': senders } },
    { action: 'dropbox.remove-sender', before: { address: sender.address } },
    now,
    [{ delete: addressMark(dropbox, sender) }],
  );
}

async function findSender(store: DropboxStore, viewer: Viewer, id: string, now: Date) {
  const { dropbox } = await ownDropbox(store, viewer, now);
  const sender = dropbox.senders.find((one) => one.id === id);
  if (!sender) throw notFound('sender');
  return { dropbox, sender };
}

async function save(store: DropboxStore, dropbox: Dropbox, sender: RegisteredSender, action: string, now: Date): Promise<RegisteredSender> {
  const known = dropbox.senders.some((one) => one.id === sender.id);
  const senders = known ? dropbox.senders.map((one) => (one.id === sender.id ? sender : one)) : [...dropbox.senders, sender];
  await changeDropbox(
    store.table,
    dropbox,
    { update: 'SET senders = :senders', values: { ':senders': senders } },
    { action, after: { address: sender.address } },
    now,
    // A proved address is a colleague's, never a customer's.
    sender.verifiedAt ? [{ put: { ...addressMark(dropbox, sender), member: dropbox.member } }] : [],
  );
  return sender;
}

const addressMark = (dropbox: Dropbox, sender: RegisteredSender) => senderAddressKey(dropbox.tenant, sender.address, dropbox.member);

/** A fresh code of 8 digits; at most CODES_PER_HOUR are mailed for one member, whatever the addresses. */
async function newCode(store: DropboxStore, viewer: Viewer, now: Date): Promise<string> {
  const secondsLeft = await countInHour(store.table, codesKey(viewer.tenant, viewer.member), CODES_PER_HOUR, now);
  if (secondsLeft > 0) throw tooMany(`We mail at most ${CODES_PER_HOUR} codes an hour. Try again later.`, secondsLeft);
  return String(randomInt(0, 100_000_000)).padStart(8, '0');
}

function withCode(dropbox: Dropbox, sender: RegisteredSender, code: string, now: Date): RegisteredSender {
  const expires = new Date(now.getTime() + CODE_MINUTES * 60_000).toISOString();
  return { ...sender, codeHash: hashOf(dropbox, sender, code), codeExpiresAt: expires, tries: 0 };
}

/** Salted with what identifies the sender's entry: one stolen hash is no table for others. */
const hashOf = (dropbox: Dropbox, sender: RegisteredSender, code: string) => sha256(dropbox.member, sender.id, code);
