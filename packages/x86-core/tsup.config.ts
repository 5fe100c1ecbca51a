import { library } from "../../tsup.base.js";

// The generated interpreter is one string of a megabyte: shaking it costs half a minute and removes nothing.
export default library({ index: "src/index.ts" }, { treeshake: false });
