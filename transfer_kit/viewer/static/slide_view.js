// The slide: deep zoom, and where a pixel of the image lies on the screen.
// Positions in the image count from the centre of the first pixel, as all positions of the kit do.

/* global OpenSeadragon */

const HALF = 0.5;

export class SlideView extends EventTarget {
  constructor(element) {
    super();
    const still = { clickToZoom: false, dblClickToZoom: false };
    this.viewer = OpenSeadragon({
      element,
      drawer: "canvas",
      showNavigationControl: false,
      animationTime: 0.4,
      imageLoaderLimit: 6,
      timeout: 120000,
      maxZoomPixelRatio: 16,
      minZoomImageRatio: 0.5,
      visibilityRatio: 0.2,
      gestureSettingsMouse: still,
      gestureSettingsTouch: still,
      gestureSettingsPen: still,
    });
    this.image = null;
    const tell = (name) => () => this.dispatchEvent(new Event(name));
    this.viewer.addHandler("update-viewport", tell("moved"));
    this.viewer.addHandler("animation-finish", tell("settled"));
    this.viewer.addHandler("resize", tell("settled"));
    this.viewer.addHandler("tile-load-failed", tell("unreadable"));
    // Keys are this page's own affair.
    this.viewer.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; });
  }

  // Resolves when the image can be moved about.
  open(number, image) {
    this.image = image;
    const { width, height, tile, depth } = image;
    const halvings = Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / tile)));
    const opened = new Promise((resolve) => this.viewer.addOnceHandler("open", resolve));
    this.viewer.open({
      width,
      height,
      tileSize: tile,
      tileOverlap: 0,
      minLevel: depth - halvings,
      maxLevel: depth,
      getTileUrl: (level, column, row) => `tiles/${number}/${level}/${column}_${row}.jpg`,
    });
    return opened;
  }

  // Pixels of the screen for one of the image, and where the image's corner is.
  get frame() {
    const viewport = this.viewer.viewport;
    if (!this.image || !viewport || !this.viewer.isOpen()) return null;
    const corner = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const across = viewport.getContainerSize().x * viewport.getZoom(true);
    const scale = across / this.image.width;
    return { scale, left: corner.x + HALF * scale, top: corner.y + HALF * scale };
  }

  get size() {
    return this.viewer.viewport.getContainerSize();
  }

  toImage({ x, y }) {
    const { scale, left, top } = this.frame;
    return { x: (x - left) / scale, y: (y - top) / scale };
  }

  toScreen({ x, y }) {
    const { scale, left, top } = this.frame;
    return { x: left + x * scale, y: top + y * scale };
  }

  // The part of the image that is seen; null before it is open.
  get window() {
    if (!this.frame) return null;
    const { width, height } = this.image;
    const first = this.toImage({ x: 0, y: 0 });
    const last = this.toImage(this.size);
    return {
      left: Math.max(-HALF, first.x),
      top: Math.max(-HALF, first.y),
      right: Math.min(width - HALF, last.x),
      bottom: Math.min(height - HALF, last.y),
    };
  }

  inside({ x, y }) {
    const { width, height } = this.image;
    return x >= -HALF && y >= -HALF && x <= width - HALF && y <= height - HALF;
  }

  clamped({ x, y }) {
    const { width, height } = this.image;
    const between = (value, size) => Math.min(Math.max(value, -HALF), size - HALF);
    return { x: between(x, width), y: between(y, height) };
  }

  zoomBy(factor) {
    this.viewer.viewport.zoomBy(factor).applyConstraints();
  }

  home() {
    this.viewer.viewport.goHome();
  }
}
