import type { Context } from "../img/support/context.js";
import { type OpenImage, type OpenRequest, openImage } from "../img/support/open.js";
import { openTemporaryOverlay } from "../img/support/overlay.js";

/** How the image is open, to open it again. */
export type SessionRequest = OpenRequest & {
  readonly overlay?: boolean;
  readonly copyOnRead?: boolean;
  readonly aio?: string;
};

/** The image under exercise and the requests under way. */
export class Session {
  image: OpenImage | undefined;
  request: SessionRequest | undefined;
  failed = false;
  readonly #running = new Set<Promise<void>>();

  constructor(readonly context: Context) {}

  async open(request: SessionRequest): Promise<void> {
    this.image = await (request.overlay ? openTemporaryOverlay : openImage)(this.context, request);
    this.request = request;
  }

  /** Starts a request whose outcome is printed when it is there. */
  start(work: () => Promise<void>): void {
    const running = work().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async close(): Promise<void> {
    await this.settle();
    const { image } = this;
    this.image = undefined;
    await image?.close();
  }
}
