import { compareRows } from "./suite.js";

compareRows("general and system instructions", "interpreter", 1_100_000, (row) => row.options.unit === undefined);
