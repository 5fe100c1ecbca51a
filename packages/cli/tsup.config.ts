import { library } from "../../tsup.base.js";

export default library({ softmetal: "src/softmetal.ts" }, { platform: "node", dts: false, splitting: true });
