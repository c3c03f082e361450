import { appendFileSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A log beyond this is put aside as `<function>.log.1`. */
const MAX_BYTES = 10 * 1024 * 1024;

/** What the functions print: all of it in `<dir>/<function>.log`, warnings and errors on stderr too unless `quiet`. */
export class Log {
  private readonly dir: string;
  private readonly quiet: boolean;

  constructor(dir: string, quiet: boolean) {
    this.dir = dir;
    this.quiet = quiet;
    mkdirSync(dir, { recursive: true });
  }

  line(name: string, text: string): void {
    const file = join(this.dir, `${name}.log`);
    if (existsSync(file) && statSync(file).size > MAX_BYTES) renameSync(file, `${file}.1`);
    appendFileSync(file, `${new Date().toISOString()} ${text}\n`);
    if (!this.quiet && isWarning(text)) process.stderr.write(`[${name}] ${text.slice(0, 2000)}\n`);
  }
}

const isWarning = (text: string) => /"level":"(WARN|ERROR|CRITICAL)"|^(WARN|ERROR)\b/.test(text);
