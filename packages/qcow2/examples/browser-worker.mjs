// For a dedicated worker, where files of the origin private file system can be read and written at once.
import { createQcow2, openQcow2, openRaw } from "@softmetal/qcow2";
import { openBlob, openSyncHandle } from "@softmetal/qcow2/browser";

/** Opens an image in the origin private file system; makes it when it is not there. */
export async function openDisk(name, size) {
  const folder = await navigator.storage.getDirectory();
  const handle = await folder.getFileHandle(name, { create: true });
  const file = openSyncHandle(await handle.createSyncAccessHandle(), name);
  if ((await file.size()) === 0) await createQcow2(file, { size });
  return openQcow2(file);
}

/** Opens one of the files that the user chose with `<input type="file" multiple>`, read-only; backing files are among them. */
export async function openChosen(files, name, { format = "qcow2", passphrase } = {}) {
  const chosen = files.find((file) => file.name === name);
  if (!chosen) throw new Error(`Choose the file ${name}, too.`);
  const file = openBlob(chosen, name);
  if (format === "raw") return openRaw(file);
  return openQcow2(file, { passphrase, backing: ({ name, format }) => openChosen(files, name, { format }) });
}
