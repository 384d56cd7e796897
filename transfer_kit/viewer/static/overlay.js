// A canvas over the slide, on which layers draw themselves whenever something moved or changed.

export class Overlay {
  constructor(view) {
    this.view = view;
    this.layers = [];
    this.canvas = document.createElement("canvas");
    this.canvas.className = "overlay";
    view.viewer.canvas.append(this.canvas);
    view.addEventListener("moved", () => this.draw());
    view.addEventListener("settled", () => this.redraw());
  }

  // Soon, and once for many calls.
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const context = this.fitted();
    const { x, y } = this.view.size;
    context.clearRect(0, 0, x, y);
    const frame = this.view.frame;
    if (!frame) return;
    for (const layer of this.layers) {
      context.save();
      layer.draw(context, frame);
      context.restore();
    }
  }

  fitted() {
    const { x, y } = this.view.size;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(x * ratio), Math.round(y * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
  }
}
