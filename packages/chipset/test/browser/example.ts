import { postPrinted } from "../../../../test/browser/print.js";

postPrinted(() => import("../../examples/timer-and-serial.mjs" as string));
