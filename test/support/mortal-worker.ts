import { Table } from '../../core/table/client.ts';
import type { MemoryDynamo } from './memory-dynamo.ts';

export class Killed extends Error {}

export type Around = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => (...args: A) => Promise<R>;

/** When it dies: `dies` is asked at each write, at each step it takes elsewhere, and with `atReads` at each read as well. */
type Fate = { dies: () => boolean; onKill: () => void; atReads?: boolean };

/**
 * A worker with a table of its own that may die before and after each write to it, and before and after whatever else is put `around`
 * its doings. Dead it does nothing more, reads included: each further step throws `Killed` as well.
 */
export function mortalWorker(dynamo: MemoryDynamo, { dies, onKill, atReads = false }: Fate): { table: Table; around: Around } {
  let dead = false;
  const step = () => {
    if (!dead && !dies()) return;
    if (!dead) onKill();
    dead = true;
    throw new Killed();
  };
  const client = dynamo.newClient((_, command) => {
    if (dead || atReads || !/^(Get|BatchGet|Query)/.test(command)) step();
  });
  const around: Around =
    (work) =>
    async (...args) => {
      step();
      const answer = await work(...args);
      step();
      return answer;
    };
  return { table: new Table(client, 'memory'), around };
}

/** Now and then a service takes its time: so much that a lease is over, and another worker has gone on meanwhile. */
export function slowAtTimes(random: () => number, most: number): Around {
  return (work) =>
    async (...args) => {
      for (let waits = random() < 0.2 ? Math.floor(random() * most) : 0; waits > 0; waits--) await moment();
      return work(...args);
    };
}

export const moment = () => new Promise(setImmediate);
