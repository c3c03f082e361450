#!/usr/bin/env node
import { reconcile } from '../lib/operator.ts';

process.exitCode = await reconcile(process.argv.slice(2));
