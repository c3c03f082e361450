import { readFileSync } from 'node:fs';

/**
 * Calls `gone` when npm has died under us. npm runs us below a shell and hands signals on, but not its own sudden death:
 * then the shell (or we) get another parent, and nobody would ever end us. Does nothing when npm did not start us.
 */
export function watchParent(gone: () => void): void {
  if (!process.env.npm_lifecycle_event || process.platform !== 'linux') return;
  const before = ancestors();
  const timer = setInterval(() => {
    if (ancestors() === before) return;
    clearInterval(timer);
    gone();
  }, 500);
  timer.unref();
}

/** Parent and grandparent. */
const ancestors = () => `${process.ppid} ${parentOf(process.ppid)}`;

function parentOf(pid: number): string | undefined {
  try {
    // The name in parentheses may hold anything, so count from its end.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1];
  } catch {
    return undefined;
  }
}
