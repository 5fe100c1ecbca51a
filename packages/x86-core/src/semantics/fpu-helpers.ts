export const fpuHelpers = [] as const;
