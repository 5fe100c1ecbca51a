#!/usr/bin/env node
import { basename } from "node:path";
import { main } from "./io/main.js";

main(process.argv.slice(2), basename(process.argv[1], ".cjs")).then((status) => {
  process.exitCode = status;
});
