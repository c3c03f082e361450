#!/usr/bin/env node
import { redrive } from '../lib/operator.ts';

process.exitCode = await redrive(process.argv.slice(2));
