// Labels are saved soon after each change. The version tells whether someone else saved meanwhile.

import { getJson, send } from "./api.js";

const SOON = 400; // milliseconds

export class Saving extends EventTarget {
  constructor(labels) {
    super();
    this.labels = labels;
    this.number = null;
    labels.addEventListener("changed", () => this.changed());
  }

  // Gives back what the server says of the labels.
  // null where another image was opened meanwhile.
  async open(number) {
    const asked = (this.asked = (this.asked ?? 0) + 1);
    this.number = null;
    const said = await getJson(`api/images/${number}/labels`);
    if (asked !== this.asked) return null;
    Object.assign(this, { number, version: said.version, readOnly: said.read_only });
    this.dirty = false;
    this.labels.load(said);
    this.tell("");
    return said;
  }

  changed() {
    this.dirty = true;
    this.tell("Saving …");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), SOON);
  }

  // What is left to save is saved, before another image is opened.
  async flush() {
    clearTimeout(this.timer);
    await this.running;
    if (this.dirty) await this.save();
    return !this.dirty;
  }

  save() {
    this.running = (this.running ?? Promise.resolve()).then(() => this.put());
    return this.running;
  }

  async put() {
    if (!this.dirty) return;
    const { nuclei, regions } = this.labels.now;
    this.dirty = false;
    try {
      const document = { version: this.version, nuclei, regions };
      const said = await send("PUT", `api/images/${this.number}/labels`, document);
      this.version = said.version;
      this.keep(regions, said.outlines);
      const cut = said.cut ? `, ${said.cut} cut out` : "";
      this.tell(this.dirty ? "Saving …" : `Saved${cut}`);
      this.dispatchEvent(new CustomEvent("saved", { detail: said.fault }));
    } catch (error) {
      this.dirty = true;
      this.tell("Not saved");
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    }
  }

  // Areas that crossed themselves were mended; what is shown is what is kept.
  keep(regions, outlines) {
    regions.forEach((region, at) => { region.outline = outlines[at]; });
  }

  // After another tab saved: mine replaces theirs.
  async overwrite() {
    this.version = (await getJson(`api/images/${this.number}/labels`)).version;
    this.dirty = true;
    await this.save();
  }

  tell(words) {
    this.words = words;
    this.dispatchEvent(new Event("told"));
  }
}
