import { createInitramfs, gzip, kernelFromDeb } from "@softmetal/guest";

/** What a test asks of this worker. */
const calls = {
  async kernelOf(url: string) {
    const response = await fetch(url);
    const { version, image } = await kernelFromDeb(new Uint8Array(await response.arrayBuffer()));
    return { version, text: new TextDecoder().decode(image) };
  },
  async putInitramfs(url: string) {
    const initramfs = createInitramfs([{ kind: "file", path: "init", mode: 0o755, data: "#!/bin/sh\necho hello\n" }]);
    await fetch(url, { method: "PUT", body: (await gzip(initramfs)) as BodyInit });
  },
};

Object.assign(globalThis, calls);
postMessage("ready");
