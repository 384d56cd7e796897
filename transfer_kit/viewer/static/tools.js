// What clicks and drags on the slide do to the labels.

const STILL = 5; // pixels of the screen that a click may wander
const NEAR = 9; // from a nucleus, or from the first corner of an outline
const STROKE_STEP = 4;

export const TOOLS = [
  { name: "move", key: "V", sign: "✥", title: "Move: drag the image, click an area to select it" },
  { name: "nucleus", key: "C", sign: "●", title: "Nuclei: click to add, click one to remove it" },
  { name: "rectangle", key: "R", sign: "▭", title: "Rectangle: drag" },
  { name: "outline", key: "O", sign: "⬠", title: "Outline: one stroke, or corner by corner" },
];

export class Tools extends EventTarget {
  // `areaName()` is null for labelled regions, else the name of new areas.
  constructor(view, { labels, layer, classes, areaName }) {
    super();
    Object.assign(this, { view, labels, layer, classes, areaName });
    this.name = "move";
    this.editable = false;
    const viewer = view.viewer;
    viewer.addHandler("canvas-press", (event) => this.press(event));
    viewer.addHandler("canvas-drag", (event) => this.drag(event));
    viewer.addHandler("canvas-drag-end", (event) => this.keepStill(event));
    viewer.addHandler("canvas-release", (event) => this.release(event));
    viewer.addHandler("canvas-pinch", () => this.letGo());
    viewer.element.addEventListener("pointermove", (event) => this.hover(event));
  }

  choose(name) {
    if (name !== "move" && !this.editable) return;
    this.letGo();
    this.name = name;
    this.view.viewer.element.dataset.tool = name;
    this.dispatchEvent(new Event("chosen"));
  }

  setEditable(editable) {
    this.editable = editable;
    this.choose(editable ? this.name : "move");
  }

  // Whatever is being drawn is given up.
  letGo() {
    Object.assign(this, { start: null, corners: null, grabbed: null });
    this.sketch(null);
    this.layer.moving = null;
  }

  get isDrawing() {
    return Boolean(this.corners);
  }

  press({ position, originalEvent }) {
    this.start = { at: position, shift: originalEvent.shiftKey, wandered: false };
    if (this.name === "nucleus") this.grabbed = this.labels.nearest(this.place(position), this.near);
  }

  drag(event) {
    if (!this.start) return;
    const { position } = event;
    const { at } = this.start;
    if (Math.hypot(position.x - at.x, position.y - at.y) > STILL) this.start.wandered = true;
    this.keepStill(event);
    if (!this.start.wandered) return;
    if (this.grabbed) {
      this.layer.moving = { nucleus: this.grabbed, place: this.clamped(position) };
      this.layer.overlay.redraw();
    } else if (this.name === "rectangle") {
      this.sketch(rectangle(this.clamped(at), this.clamped(position)));
    } else if (this.name === "outline" && !this.corners) {
      this.stroke(position);
    }
  }

  // The slide moves under the hand only where nothing else is meant.
  keepStill(event) {
    const drags = { move: false, nucleus: Boolean(this.grabbed), rectangle: true, outline: true };
    if (drags[this.name]) event.preventDefaultAction = true;
  }

  release({ position }) {
    const { start, grabbed } = this;
    Object.assign(this, { start: null, grabbed: null });
    this.layer.moving = null;
    if (!start) return;
    if (!start.wandered) {
      this.click(position, start.shift);
    } else if (grabbed) {
      this.labels.move(grabbed, this.clamped(position));
    } else if (this.layer.sketch && !this.corners && this.name !== "nucleus") {
      this.finish(this.layer.sketch);
    }
  }

  click(position, shift) {
    const place = this.place(position);
    if (this.name === "move") {
      this.labels.select(this.labels.regionAt(place));
    } else if (this.view.inside(place) && this.name === "nucleus") {
      this.clickNucleus(place, shift);
    } else if (this.name === "outline") {
      this.clickCorner(position);
    }
  }

  clickNucleus(place, shift) {
    const nucleus = this.labels.nearest(place, this.near);
    if (!nucleus) this.labels.add(place, this.classes.chosen);
    else if (shift) this.labels.rename(nucleus, this.classes.chosen);
    else this.labels.remove(nucleus);
  }

  clickCorner(position) {
    const corner = this.clamped(position);
    if (this.corners?.length > 2 && this.isFirst(position)) {
      this.close();
      return;
    }
    this.corners = [...(this.corners ?? []), corner];
    this.sketch(this.corners);
  }

  isFirst(position) {
    const first = this.view.toScreen(this.corners[0]);
    return Math.hypot(first.x - position.x, first.y - position.y) <= NEAR;
  }

  // Ends an outline of clicked corners.
  close() {
    if (this.corners) this.finish(this.corners);
  }

  stroke(position) {
    const corner = this.clamped(position);
    const sketch = this.layer.sketch ?? [this.clamped(this.start.at)];
    const last = this.view.toScreen(sketch[sketch.length - 1]);
    const step = Math.hypot(last.x - position.x, last.y - position.y);
    this.sketch(step < STROKE_STEP ? sketch : [...sketch, corner]);
  }

  finish(corners) {
    this.letGo();
    const name = this.areaName();
    if (corners.length > 2 && name !== undefined) this.labels.addRegion(corners, name);
  }

  hover(event) {
    if (!this.corners) return;
    const box = this.view.viewer.element.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    this.sketch([...this.corners, this.clamped(at)]);
  }

  sketch(corners) {
    this.layer.sketch = corners;
    this.layer.overlay.redraw();
  }

  place(position) {
    return this.view.toImage(position);
  }

  clamped(position) {
    return this.view.clamped(this.place(position));
  }

  get near() {
    return NEAR / this.view.frame.scale;
  }
}

function rectangle(one, other) {
  return [one, { x: other.x, y: one.y }, other, { x: one.x, y: other.y }];
}
