// Labels over the slide: areas, nuclei in the colour of their class, and what is being drawn.

import { drawMarks, strokeTwice, traceRings } from "./marks.js";
import { ringsOf } from "./labels.js";

const LABELLED = "#ffffff";
const AREA = "#ffd700";

export class LabelLayer {
  constructor(labels, classes, overlay) {
    Object.assign(this, { labels, classes, overlay });
    this.shown = true;
    this.sketch = null; // corners of an area that is being drawn
    this.moving = null; // { nucleus, place } while one is dragged
    for (const name of ["loaded", "changed", "selected"]) {
      labels.addEventListener(name, () => overlay.redraw());
    }
  }

  show(shown) {
    this.shown = shown;
    this.overlay.redraw();
  }

  draw(context, frame) {
    if (!this.shown) return;
    for (const region of this.labels.regions) this.drawRegion(context, frame, region);
    this.drawNuclei(context, frame);
    if (this.sketch) this.drawSketch(context, frame);
  }

  drawRegion(context, frame, region) {
    const rings = ringsOf(region);
    const colour = region.name === null ? LABELLED : AREA;
    context.beginPath();
    traceRings(context, frame, rings);
    if (region === this.labels.selected) {
      context.fillStyle = "rgba(255, 255, 255, .18)";
      context.fill("evenodd");
    }
    context.setLineDash(region.name === null ? [] : [7, 5]);
    strokeTwice(context, colour, region === this.labels.selected ? 3.5 : 2);
    context.setLineDash([]);
    const [x, y] = rings[0].reduce((one, other) => (one[1] <= other[1] ? one : other));
    caption(context, region.name ?? "labelled region", {
      x: frame.left + x * frame.scale,
      y: frame.top + y * frame.scale,
      colour,
    });
  }

  drawNuclei(context, frame) {
    const byName = new Map();
    const outlined = new Map();
    for (const nucleus of this.labels.nuclei) {
      const { x, y } = nucleus === this.moving?.nucleus ? this.moving.place : nucleus;
      if (!byName.has(nucleus.name)) byName.set(nucleus.name, []);
      byName.get(nucleus.name).push(frame.left + x * frame.scale, frame.top + y * frame.scale);
      if (!nucleus.outline || frame.scale < 0.5) continue;
      if (!outlined.has(nucleus.name)) outlined.set(nucleus.name, []);
      outlined.get(nucleus.name).push(...ringsOf(nucleus));
    }
    for (const [name, rings] of outlined) {
      context.beginPath();
      traceRings(context, frame, rings);
      strokeTwice(context, this.classes.colour(name), 1.2);
    }
    const radius = Math.min(Math.max(frame.scale * 3, 2), 5);
    for (const [name, places] of byName) {
      drawDots(context, places, this.classes.colour(name), radius);
    }
  }

  drawSketch(context, frame) {
    context.beginPath();
    this.sketch.forEach(({ x, y }, at) => {
      const [across, down] = [frame.left + x * frame.scale, frame.top + y * frame.scale];
      if (at) context.lineTo(across, down);
      else context.moveTo(across, down);
    });
    if (this.sketch.length > 2) context.closePath();
    strokeTwice(context, LABELLED, 2);
    const first = this.sketch[0];
    const place = [frame.left + first.x * frame.scale, frame.top + first.y * frame.scale];
    drawMarks(context, place, { shape: "circle", colour: LABELLED, radius: 6 });
  }
}

// Filled, unlike detections, which are rings.
function drawDots(context, places, colour, radius) {
  context.beginPath();
  for (let i = 0; i < places.length; i += 2) {
    context.moveTo(places[i] + radius, places[i + 1]);
    context.arc(places[i], places[i + 1], radius, 0, 2 * Math.PI);
  }
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = "#14141c";
  context.lineWidth = 1.2;
  context.stroke();
}

function caption(context, text, { x, y, colour }) {
  context.font = "12px system-ui, sans-serif";
  const width = context.measureText(text).width;
  const [left, top] = [Math.max(x - width / 2 - 4, 2), Math.max(y - 20, 2)];
  context.fillStyle = "rgba(0, 0, 0, .6)";
  context.fillRect(left, top, width + 8, 17);
  context.fillStyle = colour;
  context.fillText(text, left + 4, top + 13);
}
