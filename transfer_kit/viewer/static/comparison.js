// True, false and missed, as the server's matching finds them at the threshold and radius.

import { getBuffer, getJson, isAborted, Latest } from "./api.js";
import { CellStore } from "./cell_store.js";
import { drawMarks, markRadius, strokeTwice, traceRings } from "./marks.js";

const [NOT_JUDGED, TRUE, FALSE, MISSED] = [0, 1, 2, 3];
const MOST_MARKS = 20000;

export const STYLES = {
  [NOT_JUDGED]: { shape: "circle", colour: "#c9c9d2" },
  [TRUE]: { shape: "circle", colour: "#00d69a" },
  [FALSE]: { shape: "square", colour: "#ff7a1a" },
  [MISSED]: { shape: "cross", colour: "#ffee33" },
};

const USUAL_UM = 2;
const USUAL_PX = 8;

export class Comparison extends EventTarget {
  constructor(view, overlay, fail) {
    super();
    Object.assign(this, { view, overlay, fail });
    this.shown = true;
    this.asking = new Latest();
    this.radius = null; // of the slider; null takes the detector's
  }

  async open(number) {
    this.close();
    await this.look(number);
  }

  // What is known of the image: called again when its labels were saved. What was judged stays in
  // sight until it is judged anew.
  async look(number) {
    const asked = (this.asked = (this.asked ?? 0) + 1);
    this.number = number;
    const layout = await getJson(`api/images/${number}/known`);
    if (asked !== this.asked) return;
    this.store?.close();
    Object.assign(this, { layout, store: null });
    this.states = this.states && layout && { found: this.states.found, known: null };
    if (layout) {
      const redraw = () => this.overlay.redraw();
      this.store = new CellStore(`api/images/${number}/known`, layout, redraw, this.fail);
    }
    this.dispatchEvent(new Event("opened"));
    this.overlay.redraw();
  }

  close() {
    this.store?.close();
    this.asking.abort();
    Object.assign(this, { layout: null, store: null, figures: null, states: null });
  }

  // What detections it judges: set before `judge`.
  setDetector({ radiusUm, mpp }) {
    this.mpp = mpp;
    this.usual = mpp ? radiusUm ?? USUAL_UM : USUAL_PX;
  }

  get radiusPx() {
    const radius = this.radius ?? this.usual ?? USUAL_PX;
    return this.mpp ? radius / this.mpp : radius;
  }

  show(shown) {
    this.shown = shown;
    this.overlay.redraw();
  }

  async judge(threshold, found) {
    if (!this.layout || !found) return;
    const query = new URLSearchParams({ threshold, radius_px: this.radiusPx });
    try {
      const buffer = await this.asking.ask(
        getBuffer, `api/images/${this.number}/judged?${query}`,
      );
      const length = new DataView(buffer).getUint32(0, true);
      this.figures = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
      this.states = {
        found: new Uint8Array(buffer, 4 + length, found),
        known: new Uint8Array(buffer, 4 + length + found),
      };
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
      return;
    }
    this.dispatchEvent(new Event("judged"));
    this.overlay.redraw();
  }

  // null where detections keep the colour of their class.
  styleOfFound(at) {
    return this.shown && this.states ? STYLES[this.states.found[at]] : null;
  }

  draw(context, frame) {
    if (!this.layout || !this.shown) return;
    const window = this.view.window;
    this.drawRegions(context, frame);
    if (this.layout.count * shareOf(window, this.view.image) > MOST_MARKS) return;
    const missed = [];
    const plain = [];
    for (const cell of this.store.in(window)) {
      for (let i = 0; i < cell.count; i++) {
        const state = this.states?.known?.[cell.first + i] ?? NOT_JUDGED;
        if (state === TRUE) continue;
        const places = state === MISSED ? missed : plain;
        places.push(frame.left + cell.x[i] * frame.scale, frame.top + cell.y[i] * frame.scale);
      }
    }
    const radius = markRadius(frame, this.radiusPx);
    drawMarks(context, missed, { ...STYLES[MISSED], radius });
    // The labels themselves are drawn by their own layer.
    if (this.layout.where === "truth") {
      drawMarks(context, plain, { ...STYLES[NOT_JUDGED], shape: "cross", radius: radius * 0.7 });
    }
  }

  drawRegions(context, frame) {
    if (this.layout.where !== "truth") return;
    context.setLineDash([8, 5]);
    for (const rings of this.layout.regions) {
      context.beginPath();
      traceRings(context, frame, rings);
      strokeTwice(context, "#ffffff", 1.5);
    }
    context.setLineDash([]);
  }
}

function shareOf({ left, top, right, bottom }, { width, height }) {
  return ((right - left) * (bottom - top)) / (width * height);
}
