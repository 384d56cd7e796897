// The list of images, with counts that are asked for as rows come into sight.

import { getJson } from "./api.js";
import { byId, counted, element } from "./dom.js";

export class ImageList extends EventTarget {
  constructor(images) {
    super();
    this.images = images;
    this.current = -1;
    this.waiting = [];
    this.rows = images.map(({ name }, number) => this.row(name, number));
    byId("list").firstElementChild.replaceChildren(...this.rows);
    byId("list").hidden = images.length < 2;
    const watcher = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        this.count(this.rows.indexOf(target));
      }
    });
    for (const row of this.rows) watcher.observe(row);
  }

  row(name, number) {
    const button = element("button", { type: "button", title: name }, name);
    button.addEventListener("click", () => this.choose(number));
    return element("li", {}, button, element("span", { className: "soft" }));
  }

  choose(number) {
    if (number < 0 || number >= this.images.length || number === this.current) return;
    this.dispatchEvent(new CustomEvent("chosen", { detail: number }));
  }

  step(by) {
    this.choose(this.current + by);
  }

  mark(number) {
    this.current = number;
    this.rows.forEach((row, at) => row.firstElementChild.toggleAttribute("aria-current", at === number));
    this.rows[number].scrollIntoView({ block: "nearest", inline: "nearest" });
    byId("previous").disabled = number === 0;
    byId("next").disabled = number === this.images.length - 1;
  }

  // One after the other: reading the detections of a slide takes the server a while.
  count(number) {
    if (!this.waiting.includes(number)) this.waiting.push(number);
    if (this.waiting.length === 1) this.work();
  }

  async work() {
    while (this.waiting.length) {
      const [number] = this.waiting;
      const counts = await getJson(`api/images/${number}/counts`).catch(() => null);
      this.rows[number].lastElementChild.textContent = counts ? inWords(counts) : "cannot be read";
      this.waiting.shift();
    }
  }
}

function inWords({ found, known, regions }) {
  const parts = [];
  if (found !== null) parts.push(`${counted(found)} found`);
  if (known !== null) parts.push(`${counted(known)} labelled`);
  if (regions) parts.push(`${regions} ${regions === 1 ? "region" : "regions"}`);
  return parts.join(", ");
}
