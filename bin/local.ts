#!/usr/bin/env node
import { runHost } from '../lib/local/command.ts';

await runHost(process.argv.slice(2));
