/** A manifest's name as CloudFormation spells it: `ingest-mail` -> `IngestMail`. */
export const logicalName = (name: string) => name.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
