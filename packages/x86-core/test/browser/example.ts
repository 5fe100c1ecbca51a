import { postPrinted } from "../../../../test/browser/print.js";

postPrinted(() => import("../../examples/count.mjs" as string));
