export const systemHelpers = [] as const;
