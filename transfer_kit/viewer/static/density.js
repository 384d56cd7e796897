// Where nuclei lie dense: a picture over the slide, for views that hold too many of them for marks.

import { getPicture, isAborted, Latest } from "./api.js";

const BIN_ON_SCREEN = 7;

export class Density {
  constructor(view, changed, fail) {
    Object.assign(this, { view, changed, fail });
    this.asking = new Latest();
    this.picture = null;
  }

  clear() {
    this.asking.abort();
    this.picture = null;
  }

  // Bins are powers of two of the image's pixels, counted from its corner, so that they stand still.
  async fetch(number, window, threshold, hidden) {
    const bin = 2 ** Math.max(0, Math.round(Math.log2(BIN_ON_SCREEN / this.view.frame.scale)));
    const place = {
      left: bin * Math.floor(window.left / bin),
      top: bin * Math.floor(window.top / bin),
      right: bin * Math.ceil(window.right / bin),
      bottom: bin * Math.ceil(window.bottom / bin),
    };
    const query = new URLSearchParams({ ...place, bin, threshold, hidden: hidden.join() });
    try {
      const address = `api/images/${number}/density.png?${query}`;
      const picture = await this.asking.ask(getPicture, address);
      Object.assign(this, { picture, place });
      this.changed();
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
    }
  }

  draw(context, frame) {
    if (!this.picture) return;
    const { left, top, right, bottom } = this.place;
    context.imageSmoothingEnabled = true;
    context.drawImage(
      this.picture,
      frame.left + left * frame.scale,
      frame.top + top * frame.scale,
      (right - left) * frame.scale,
      (bottom - top) * frame.scale,
    );
  }
}
