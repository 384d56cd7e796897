// A bar of a round length in µm; without a scale there is none.

import { byId } from "./dom.js";

const WIDEST = 160;

export function showScaleBar(view) {
  const bar = byId("scale-bar");
  const frame = view.frame;
  bar.hidden = !frame || !view.image.mpp;
  if (bar.hidden) return;
  const umPerPixel = view.image.mpp / frame.scale;
  const length = roundLength(WIDEST * umPerPixel);
  bar.style.width = `${length / umPerPixel}px`;
  bar.firstElementChild.textContent = length < 1000 ? `${length} µm` : `${length / 1000} mm`;
}

// The largest of 1, 2, 5, 10, 20 … that is not longer.
export function roundLength(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].find((step) => step * power <= longest) * power;
  return Number(length.toPrecision(1));
}
