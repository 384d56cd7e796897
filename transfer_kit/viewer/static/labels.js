// The labels of one image, and every step back: what is changed is replaced, not altered.

const MOST_STEPS = 200;

export class Labels extends EventTarget {
  constructor() {
    super();
    this.load({ nuclei: [], regions: [] });
  }

  load({ nuclei, regions }) {
    Object.assign(this, { nuclei, regions, selected: null, past: [], future: [] });
    this.dispatchEvent(new Event("loaded"));
  }

  // All changes go through here, so that each can be undone.
  change({ nuclei = this.nuclei, regions = this.regions }) {
    this.past.push(this.now);
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
    this.put({ nuclei, regions });
  }

  get now() {
    return { nuclei: this.nuclei, regions: this.regions };
  }

  put({ nuclei, regions }) {
    Object.assign(this, { nuclei, regions });
    if (!regions.includes(this.selected)) this.selected = null;
    this.dispatchEvent(new Event("changed"));
  }

  undo() {
    this.step(this.past, this.future);
  }

  redo() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    const state = from.pop();
    if (!state) return;
    to.push(this.now);
    this.put(state);
  }

  add(place, name) {
    const properties = { objectType: "annotation", origin: "person" };
    const nucleus = { ...rounded(place), name, outline: null, properties };
    this.change({ nuclei: [...this.nuclei, nucleus] });
  }

  addAll(nuclei) {
    this.change({ nuclei: [...this.nuclei, ...nuclei] });
  }

  remove(nucleus) {
    this.change({ nuclei: this.nuclei.filter((each) => each !== nucleus) });
  }

  move(nucleus, place) {
    const to = rounded(place);
    const [across, down] = [to.x - nucleus.x, to.y - nucleus.y];
    const outline = nucleus.outline && shifted(nucleus.outline, across, down);
    this.replace(nucleus, { ...nucleus, ...to, outline });
  }

  rename(nucleus, name) {
    if (nucleus.name !== name) this.replace(nucleus, { ...nucleus, name });
  }

  replace(nucleus, other) {
    const changed = { ...other, properties: corrected(nucleus.properties) };
    this.change({ nuclei: this.nuclei.map((each) => (each === nucleus ? changed : each)) });
  }

  // `name` null is a labelled region, a text a weak label of the area.
  addRegion(corners, name) {
    const ring = corners.map(rounded).map(({ x, y }) => [x, y]);
    const region = { name, outline: { type: "Polygon", coordinates: [[...ring, ring[0]]] } };
    this.change({ regions: [...this.regions, region] });
    this.select(region);
  }

  removeRegion(region) {
    this.change({ regions: this.regions.filter((each) => each !== region) });
  }

  select(region) {
    this.selected = region;
    this.dispatchEvent(new Event("selected"));
  }

  nearest({ x, y }, within) {
    let [found, least] = [null, within * within];
    for (const nucleus of this.nuclei) {
      const squared = (nucleus.x - x) ** 2 + (nucleus.y - y) ** 2;
      if (squared <= least) [found, least] = [nucleus, squared];
    }
    return found;
  }

  // The smallest area around a place.
  regionAt(place) {
    const around = this.regions.filter((region) => holds(ringsOf(region), place));
    const areas = new Map(around.map((region) => [region, areaOf(ringsOf(region)[0])]));
    return around.sort((one, other) => areas.get(one) - areas.get(other))[0] ?? null;
  }
}

export function ringsOf({ outline }) {
  return outline.type === "Polygon" ? outline.coordinates : outline.coordinates.flat();
}

// Who made a label now that a person changed it.
function corrected(properties) {
  const said = String(properties.origin ?? properties.metadata?.origin ?? "person");
  return { ...properties, origin: said.replace(/^model/, "corrected") };
}

function rounded({ x, y }) {
  return { x: Math.round(100 * x) / 100, y: Math.round(100 * y) / 100 };
}

function shifted(outline, across, down) {
  const moved = (part) =>
    typeof part[0] === "number" ? [part[0] + across, part[1] + down] : part.map(moved);
  return { ...outline, coordinates: moved(outline.coordinates) };
}

function holds(rings, { x, y }) {
  let inside = false;
  for (const ring of rings) {
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [[x1, y1], [x2, y2]] = [ring[i], ring[j]];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    }
  }
  return inside;
}

function areaOf(ring) {
  let twice = 0;
  ring.forEach(([x, y], at) => {
    const [nextX, nextY] = ring[(at + 1) % ring.length];
    twice += x * nextY - nextX * y;
  });
  return Math.abs(twice) / 2;
}
