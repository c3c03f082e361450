import { appendFileSync } from 'node:fs';
import { HOST } from './server.ts';
import { partsOf } from './sessions.ts';

/** A call of a function to AWS, with what IAM would look at to allow it. */
export type RecordedCall = {
  function: string;
  /** The tenant it acted for, with the rights of its role for one; absent when it called with its own. */
  tenant?: string;
  /** As IAM spells it: `dynamodb:PutItem`. */
  action: string;
  /** The manifest's name of the resource; `ses` for mail that goes out. */
  on: string;
  /** The object's key, or the item's partition. */
  key?: string;
  /** Values of IAM's condition keys. */
  context?: Record<string, string>;
};

let file: string | undefined;
const known = new Set<string>();

/** From now on every call of a function is appended to this file, one JSON line for each that differs. */
export function recordCalls(to: string): void {
  file = to;
}

/** Notes a call before it is decided on: one that is refused counts as made. */
export function note(caller: string, action: string, on: string, more: Pick<RecordedCall, 'key' | 'context'> = {}): void {
  if (!file || caller === HOST) return;
  const { name, tenant } = partsOf(caller);
  const line = `${JSON.stringify({ function: name, tenant, action, on, ...more } satisfies RecordedCall)}\n`;
  if (known.has(line)) return;
  known.add(line);
  appendFileSync(file, line);
}
