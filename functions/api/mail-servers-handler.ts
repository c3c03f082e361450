import { mailServerOperations } from './operations/mail-server.ts';
import { serve } from './serve.ts';

/** The routes on which somebody else's mail server is waited for, in a function of their own: little memory, much time. */
export const handler = serve(mailServerOperations);
