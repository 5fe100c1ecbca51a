#!/usr/bin/env node
import { basename } from "node:path";
import { startImages } from "./start-images.js";

startImages("io", process.argv.slice(2), basename(process.argv[1], ".cjs")).then((status) => {
  process.exitCode = status;
});
