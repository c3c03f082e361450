/**
 * So much at once, and no more: of mails under way, of bytes in memory, of sessions with one server. Who asks first is served
 * first; who asks for more than there ever is gets all of it, alone.
 */
export class Lane {
  private readonly capacity: number;
  private used = 0;
  private readonly waiting: { amount: number; go: () => void }[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Settles when there is room. What is taken must be given back. */
  take(amount = 1): Promise<void> {
    return new Promise((go) => {
      this.waiting.push({ amount: this.portion(amount), go });
      this.serve();
    });
  }

  give(amount = 1): void {
    this.used -= this.portion(amount);
    this.serve();
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.take();
    try {
      return await work();
    } finally {
      this.give();
    }
  }

  get isIdle(): boolean {
    return this.used === 0 && this.waiting.length === 0;
  }

  private portion(amount: number): number {
    return Math.min(amount, this.capacity);
  }

  private serve(): void {
    for (let first = this.waiting[0]; first && this.used + first.amount <= this.capacity; first = this.waiting[0]) {
      this.waiting.shift();
      this.used += first.amount;
      first.go();
    }
  }
}

/** A lane for each name, as long as somebody is in it. */
export class Lanes {
  private readonly width: number;
  private readonly lanes = new Map<string, Lane>();

  constructor(width: number) {
    this.width = width;
  }

  /** Answers how to give back, which may be done more than once. */
  async take(name: string): Promise<() => void> {
    const lane = this.lanes.get(name) ?? new Lane(this.width);
    this.lanes.set(name, lane);
    await lane.take();
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      lane.give();
      if (lane.isIdle) this.lanes.delete(name);
    };
  }

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const giveBack = await this.take(name);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }
}
