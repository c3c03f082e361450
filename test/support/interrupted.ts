import type { Table, Write } from '../../core/table/client.ts';

/** A table between whose look and whose write, the first or the first such one, something else is done: the moment in which two meet. */
export function interrupted(table: Table, meanwhile: () => Promise<unknown>, isIt: (writes: Write[]) => boolean = () => true): Table {
  let done = false;
  const transact: Table['transact'] = async (writes, refused) => {
    if (!done && isIt(writes)) {
      done = true;
      await meanwhile();
    }
    return table.transact(writes, refused);
  };
  return Object.assign(Object.create(table), { transact });
}
