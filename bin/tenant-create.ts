#!/usr/bin/env node
import { tenantCreate } from '../lib/operator.ts';

process.exitCode = await tenantCreate(process.argv.slice(2));
