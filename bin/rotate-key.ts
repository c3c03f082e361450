#!/usr/bin/env node
import { rotateKey } from '../lib/operator.ts';

process.exitCode = await rotateKey(process.argv.slice(2));
