import { compareRows } from "./suite.js";

compareRows("x87, MMX and SSE instructions", "interpreter", 1_000_000, (row) => row.options.unit !== undefined);
