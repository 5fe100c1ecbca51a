export const HOT: readonly string[] = [];
