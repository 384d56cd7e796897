// What was found in the open image: which of it is shown, drawn over the slide, and counted.

import { getJson, isAborted, Latest } from "./api.js";
import { CellStore } from "./cell_store.js";
import { Density } from "./density.js";
import { drawMarks, markRadius, strokeTwice, traceRings } from "./marks.js";

const MOST_MARKS = 20000; // beyond, a picture of their density says more, and sooner
const OUTLINES_FROM = 4; // pixels of the screen that a mark's radius has

export class Detections extends EventTarget {
  constructor(view, overlay, comparison, fail) {
    super();
    Object.assign(this, { view, overlay, comparison, fail });
    this.shown = true;
    this.hidden = new Set(); // names of classes, also of the next image
    this.density = new Density(view, () => overlay.redraw(), fail);
    this.counting = new Latest();
    view.addEventListener("settled", () => this.look());
  }

  async open(number) {
    this.close();
    this.number = number;
    const layout = await getJson(`api/images/${number}/found`);
    if (this.number !== number) return;
    if (layout) {
      const redraw = () => this.overlay.redraw();
      this.store = new CellStore(`api/images/${number}/found`, layout, redraw, this.fail);
      Object.assign(this, { layout, threshold: layout.lowest });
      this.look();
    }
    this.dispatchEvent(new Event("opened"));
    this.overlay.redraw();
  }

  close() {
    this.store?.close();
    this.density.clear();
    this.counting.abort();
    Object.assign(this, { layout: null, store: null, counts: null });
  }

  show(shown) {
    this.shown = shown;
    this.overlay.redraw();
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    this.look();
    this.overlay.redraw();
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.look();
    this.overlay.redraw();
    this.dispatchEvent(new Event("classes"));
  }

  // Numbers of the hidden classes of this image.
  get hiddenKinds() {
    return this.layout.classes.flatMap(({ name }, kind) => (this.hidden.has(name) ? [kind] : []));
  }

  // Counts what is in view, and fetches its density where there are too many for marks.
  async look() {
    const window = this.view.window;
    if (!this.layout || !window) return;
    const query = new URLSearchParams({
      ...window, threshold: this.threshold, hidden: this.hiddenKinds.join(),
    });
    try {
      const { counts } = await this.counting.ask(
        getJson, `api/images/${this.number}/view?${query}`,
      );
      this.counts = counts;
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
      return;
    }
    if (this.isDense) this.density.fetch(this.number, window, this.threshold, this.hiddenKinds);
    else this.density.clear();
    this.dispatchEvent(new Event("counted"));
    this.overlay.redraw();
  }

  get inView() {
    return this.counts?.reduce((sum, count) => sum + count, 0) ?? 0;
  }

  get isDense() {
    return (this.counts ? this.inView : this.layout.count) > MOST_MARKS;
  }

  draw(context, frame) {
    if (!this.layout || !this.shown) return;
    if (this.isDense) {
      this.density.draw(context, frame);
      return;
    }
    const radius = markRadius(frame, this.comparison.radiusPx);
    const groups = new Map();
    const hidden = new Set(this.hiddenKinds);
    for (const cell of this.store.in(this.view.window)) {
      this.collect(cell, frame, groups, { hidden, outlines: radius >= OUTLINES_FROM });
    }
    for (const { style, places, rings } of groups.values()) {
      drawMarks(context, places, { ...style, radius });
      if (!rings.length) continue;
      context.beginPath();
      traceRings(context, frame, rings);
      strokeTwice(context, style.colour, 1.6);
    }
  }

  // Positions on the screen, and outlines in the image, by how they are drawn.
  collect(cell, frame, groups, { hidden, outlines }) {
    const size = this.view.size;
    const ringsOf = outlines ? ringsByOwner(cell) : new Map();
    for (let i = 0; i < cell.count; i++) {
      if (cell.scores[i] < this.threshold || hidden.has(cell.kinds[i])) continue;
      const x = frame.left + cell.x[i] * frame.scale;
      const y = frame.top + cell.y[i] * frame.scale;
      if (x < -40 || y < -40 || x > size.x + 40 || y > size.y + 40) continue;
      const style = this.comparison.styleOfFound(cell.first + i) ?? this.styleOf(cell.kinds[i]);
      const key = style.shape + style.colour;
      if (!groups.has(key)) groups.set(key, { style, places: [], rings: [] });
      const group = groups.get(key);
      if (ringsOf.has(i)) group.rings.push(...ringsOf.get(i));
      else group.places.push(x, y);
    }
  }

  styleOf(kind) {
    return { shape: "circle", colour: this.layout.classes[kind].colour };
  }
}

function ringsByOwner(cell) {
  if (cell.rings) return cell.rings;
  const rings = new Map();
  cell.owners.forEach((owner, ring) => {
    const corners = [];
    for (let i = cell.starts[ring]; i < cell.starts[ring + 1]; i++) {
      corners.push([cell.corners[2 * i], cell.corners[2 * i + 1]]);
    }
    if (!rings.has(owner)) rings.set(owner, []);
    rings.get(owner).push(corners);
  });
  cell.rings = rings;
  return rings;
}
