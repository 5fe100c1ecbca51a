import { compareRows } from "./suite.js";

compareRows("all instructions as emitted blocks", "blocks", 130_000, () => true);
