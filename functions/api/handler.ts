import { operations } from './operations.ts';
import { serve } from './serve.ts';

export const handler = serve(operations);
