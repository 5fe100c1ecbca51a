export const sseHelpers = [] as const;
