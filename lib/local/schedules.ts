import { randomUUID } from 'node:crypto';
import type { Rows } from '../bundle.ts';
import { REGION } from './engine.ts';
import type { Outcome } from './functions.ts';

type Invoke = (name: string, event: unknown) => Promise<Outcome>;

const MS = { minutes: 60_000, hours: 3_600_000, days: 86_400_000 };

/** Fires the functions the manifest puts on a schedule, as EventBridge does. */
export class Schedules {
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly rows: Rows;
  private readonly invoke: Invoke;

  constructor(rows: Rows, invoke: Invoke, mode?: 'by-hand') {
    this.rows = rows;
    this.invoke = invoke;
    if (mode === 'by-hand') return;
    for (const [name, { trigger }] of Object.entries(rows)) {
      if (trigger.kind !== 'schedule') continue;
      const [count, unit] = trigger.every.split(' ') as [string, keyof typeof MS];
      this.timers.push(setInterval(() => void this.fire(name), Number(count) * MS[unit]).unref());
    }
  }

  /** Fires now. Throws for a function that is on no schedule. */
  fire(name: string): Promise<Outcome> {
    if (this.rows[name]?.trigger.kind !== 'schedule') throw new Error(`The manifest puts no function "${name}" on a schedule.`);
    return this.invoke(name, {
      version: '0',
      id: randomUUID(),
      'detail-type': 'Scheduled Event',
      source: 'aws.events',
      account: '000000000000',
      time: new Date().toISOString(),
      region: REGION,
      resources: [`arn:aws:events:${REGION}:000000000000:rule/${name}`],
      detail: {},
    });
  }

  end(): void {
    for (const timer of this.timers) clearInterval(timer);
  }
}
