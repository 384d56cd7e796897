// The panel of detections: how many, from which score on, and of which classes.

import { spoken } from "./classes.js";
import { byId, colourSpot, counted, element } from "./dom.js";

const STEPS = 200;

export function detectionControls(detections) {
  const slider = byId("threshold");
  detections.addEventListener("opened", () => {
    byId("detections").hidden = !detections.layout;
    if (!detections.layout) return;
    const { lowest, highest, count, model } = detections.layout;
    Object.assign(slider, { min: lowest, max: highest, step: (highest - lowest) / STEPS || 0.01 });
    slider.value = lowest;
    byId("in-all").textContent = counted(count);
    byId("model").textContent = model ? `, by ${model}` : "";
    sayThreshold(detections);
    listClasses(detections);
  });
  detections.addEventListener("classes", () => listClasses(detections));
  detections.addEventListener("counted", () => {
    byId("in-view").textContent = counted(detections.inView);
    detections.counts.forEach((number, kind) => {
      const place = byId(`in-view-${kind}`);
      if (place) place.textContent = counted(number);
    });
  });
  slider.addEventListener("input", () => {
    // The slider's own steps would round the lowest score up, and hide the nucleus that has it.
    const lowest = slider.value === slider.min;
    detections.setThreshold(lowest ? detections.layout.lowest : Number(slider.value));
    sayThreshold(detections);
  });
  byId("show-detections").addEventListener("change", ({ target }) => detections.show(target.checked));
}

function sayThreshold({ threshold }) {
  byId("threshold-said").textContent = threshold.toFixed(3);
}

function listClasses(detections) {
  const rows = detections.layout.classes.map(({ name, colour }, kind) => {
    const box = element("input", { type: "checkbox", checked: !detections.hidden.has(name) });
    box.addEventListener("change", () => detections.toggle(name));
    const number = element("output", { id: `in-view-${kind}` });
    return element("li", {}, element("label", {}, box, colourSpot(colour), spoken(name)), number);
  });
  byId("detection-classes").replaceChildren(...rows);
}
