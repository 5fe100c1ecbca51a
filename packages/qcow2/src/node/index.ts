export type { NativeFileCalls, NodeFileOptions } from "./file.js";
export { NodeFile, openFile } from "./file.js";
export type { OpenImageOptions } from "./open.js";
export { createImage, openImage, resolveName } from "./open.js";
export { nodePlatform } from "./platform.js";
