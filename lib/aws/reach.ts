import type { ResourceName } from '../../functions/manifest.ts';

/** A resource as functions meet it: the ARN their rights name, and the value of its variable. */
export type Reach = { arn: string; variable: string };

/** Every resource of the manifest, as functions meet it. */
export type Reaches = Record<ResourceName, Reach>;
