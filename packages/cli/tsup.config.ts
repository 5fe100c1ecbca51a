import { library } from "../../tsup.base.js";

export default library(
  {
    softmetal: "src/softmetal.ts",
    "softmetal-img": "src/softmetal-img.ts",
    "softmetal-io": "src/softmetal-io.ts",
    "softmetal-nbd": "src/softmetal-nbd.ts",
  },
  // Optional dependencies are not left out of the bundle by themselves.
  { platform: "node", dts: false, splitting: true, external: ["koffi"] },
);
