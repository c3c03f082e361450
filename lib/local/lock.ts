import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** What goes wrong for a reason the user can do something about: printed as it stands, without a stack. */
export class HostError extends Error {}

/**
 * Takes the state directory for this process. The lock is the operating system's, by way of SQLite: it ends with the
 * process, however that ends, and no process id can be mistaken for another's. Throws a HostError when it is taken.
 */
export function lock(dir: string): () => void {
  // What lies here is mail and tokens.
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const db = new DatabaseSync(join(dir, 'lock'));
  const owner = join(dir, 'lock.pid');
  try {
    db.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch {
    db.close();
    throw new HostError(
      `The state in ${dir} is in use by process ${readFileSync(owner, 'utf8')}: it runs already. End it first, or use another --dir.`,
    );
  }
  writeFileSync(owner, String(process.pid));
  return () => db.close();
}
