// One sentence over the slide: what went wrong, or what was done. It goes by itself.

import { byId } from "./dom.js";

const SECONDS = 12;
let timer;

export function say(words) {
  const place = byId("message");
  place.textContent = words;
  place.hidden = !words;
  clearTimeout(timer);
  timer = setTimeout(() => { place.hidden = true; }, 1000 * SECONDS);
}

export function fail(error) {
  console.warn(error);
  say(error.message);
}
