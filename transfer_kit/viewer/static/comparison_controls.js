// The panel of right and wrong: the radius, and what it gives.

import { byId, counted, debounced } from "./dom.js";

const RANGES = { um: { min: 0.5, max: 12, step: 0.25 }, px: { min: 1, max: 48, step: 1 } };

export function comparisonControls(comparison, detections) {
  const slider = byId("radius");
  const judge = debounced(() => {
    comparison.judge(detections.threshold, detections.layout?.count);
  }, 120);

  function opened() {
    const both = Boolean(comparison.layout && detections.layout);
    byId("comparison").hidden = !both;
    if (!both) return;
    Object.assign(slider, comparison.mpp ? RANGES.um : RANGES.px);
    slider.value = comparison.radius ?? comparison.usual;
    sayRadius(comparison);
    byId("compared-with").textContent = against(comparison.layout);
    if (!comparison.figures) sayWaiting();
    judge();
  }

  comparison.addEventListener("opened", opened);
  detections.addEventListener("opened", opened);
  comparison.addEventListener("judged", () => sayFigures(comparison.figures));
  byId("threshold").addEventListener("input", judge);
  slider.addEventListener("input", () => {
    comparison.radius = Number(slider.value);
    sayRadius(comparison);
    comparison.overlay.redraw();
    judge();
  });
  byId("show-comparison").addEventListener("change", ({ target }) => comparison.show(target.checked));
}

function against({ where, count, regions }) {
  const what = where === "truth" ? "annotated nuclei" : "labels of this image";
  const inside = regions.length ? ", inside the labelled regions" : "";
  return `Against ${counted(count)} ${what}${inside}; all classes together.`;
}

function sayRadius(comparison) {
  const radius = comparison.radius ?? comparison.usual;
  byId("radius-said").textContent = `${radius} ${comparison.mpp ? "µm" : "px"}`;
}

function sayWaiting() {
  for (const id of ["n-true", "n-false", "n-missed", "precision", "recall", "f1"]) {
    byId(id).textContent = "…";
  }
}

function sayFigures(figures) {
  for (const [id, name] of [["n-true", "n_true"], ["n-false", "n_false"], ["n-missed", "n_missed"]]) {
    byId(id).textContent = figures[name] === null ? "–" : counted(figures[name]);
  }
  for (const name of ["precision", "recall", "f1"]) {
    byId(name).textContent = figures[name] === null ? "–" : figures[name].toFixed(3);
  }
}
