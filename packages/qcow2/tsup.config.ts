import { library } from "../../tsup.base.js";

export default library(
  {
    index: "src/index.ts",
    inspect: "src/inspect/index.ts",
    json: "src/json/index.ts",
    node: "src/node/index.ts",
    browser: "src/browser/index.ts",
  },
  { loader: { ".wasm": "base64" } },
);
