import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { MemoryFile, openRaw } from "../../src/index.js";
import { qemuImg, tryQemuImg } from "../support.js";
import { backingContents } from "./configurations.js";
import { contents, demand, type Moment } from "./examine.js";
import type { ScratchFile } from "./scratch-file.js";
import type { Recording } from "./workload.js";

/**
 * Lets qemu-img judge a state: at most leaks, and the content is what the model allows.
 * @param snapshots snapshots came or went: while the references of one are leaked, qemu-img takes the COPIED flags of
 *   clusters in use for damage, until it has repaired the leaks
 */
export async function examineWithQemu(
  { configuration, model }: Recording,
  files: readonly ScratchFile[],
  moment: Moment,
  snapshots: boolean,
  path: (name: string) => string,
): Promise<void> {
  if (configuration.create.encryption !== undefined) return;
  const image = path("image.qcow2");
  writeFileSync(image, files[0].bytes());
  writeFileSync(path("second"), files[1].bytes());
  for (const [name, content] of backingContents) writeFileSync(path(name), content);
  const { lazy, second } = configuration;
  // The name of a data file in the header is relative to the directory where qemu-img runs.
  const what =
    second === undefined || second === "base"
      ? [image]
      : [
          "--image-opts",
          `driver=qcow2,file.driver=file,file.filename=${image},data-file.driver=file,data-file.filename=${path("second")}`,
        ];
  if (snapshots && lazy !== true) {
    const { output } = tryQemuImg("check", ...what);
    const other = output.split("\n").find((line) => line.startsWith("ERROR") && !line.startsWith("ERROR OFLAG_COPIED"));
    demand(other === undefined, () => `qemu-img check says ${other}`);
  }
  if (lazy === true || snapshots) {
    const repair = tryQemuImg("check", "-r", lazy === true ? "all" : "leaks", ...what);
    demand(repair.status === 0, () => `qemu-img check -r says ${repair.status}: ${repair.output}`);
  }
  const checked = tryQemuImg("check", ...what);
  demand(
    checked.status === 0 || checked.status === 3,
    () => `qemu-img check says ${checked.status}: ${checked.output}`,
  );
  qemuImg("convert", "-U", "-O", "raw", ...what, path("content.raw"));
  const raw = await openRaw(new MemoryFile("content", await readFile(path("content.raw"))));
  await contents(raw, model, moment.floor, moment.latest);
}
