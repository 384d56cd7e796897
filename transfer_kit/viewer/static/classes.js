// The classes of nuclei: their colours, and the one that new nuclei get.

import { send } from "./api.js";

const SPARE = "#00c8ff";

export class Classes extends EventTarget {
  constructor() {
    super();
    this.colours = new Map([["", SPARE]]);
    this.chosen = "";
  }

  // `known` as [{ name, colour }]; those of earlier images stay.
  learn(known) {
    for (const { name, colour } of known) this.colours.set(name, colour);
    this.dispatchEvent(new Event("changed"));
  }

  colour(name) {
    return this.colours.get(name) ?? SPARE;
  }

  get names() {
    return [...this.colours.keys()];
  }

  choose(name) {
    this.chosen = name;
    this.dispatchEvent(new Event("changed"));
  }

  async add(name) {
    const added = await send("POST", "api/classes", { name });
    this.colours.set(added.name, added.colour);
    this.choose(added.name);
  }
}

export function spoken(name) {
  return name || "nucleus (no class)";
}
