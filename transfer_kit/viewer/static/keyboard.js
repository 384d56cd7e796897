// What keys do. Fields keep theirs, and so do the browser's own shortcuts.

import { byId } from "./dom.js";
import { TOOLS } from "./tools.js";

export function keyboard({ view, list, tools, labels, classes, detections }) {
  const acts = {
    n: () => list.step(1),
    arrowright: () => list.step(1),
    p: () => list.step(-1),
    arrowleft: () => list.step(-1),
    "+": () => view.zoomBy(1.5),
    "=": () => view.zoomBy(1.5),
    "-": () => view.zoomBy(1 / 1.5),
    _: () => view.zoomBy(1 / 1.5),
    0: () => view.home(),
    d: () => byId("show-detections").click(),
    t: () => byId("show-comparison").click(),
    l: () => byId("show-labels").click(),
    z: (event) => (event.shiftKey ? labels.redo() : labels.undo()),
    y: () => labels.redo(),
    enter: () => tools.close(),
    escape: () => (tools.isDrawing ? tools.letGo() : labels.select(null)),
    delete: () => labels.selected && tools.editable && labels.removeRegion(labels.selected),
    backspace: () => acts.delete(),
    "?": () => byId("help").showModal(),
  };
  for (const { key, name } of TOOLS) acts[key.toLowerCase()] = () => tools.choose(name);

  document.addEventListener("keydown", (event) => {
    if (byId("help").open || writes(event.target)) return;
    const withControl = event.ctrlKey || event.metaKey;
    if (event.altKey || (withControl && !"zy".includes(event.key.toLowerCase()))) return;
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
    if (digit) {
      chooseClass(Number(digit) - 1, event.shiftKey || !tools.editable);
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "enter" && event.target.closest("button")) return;
    if (!acts[key]) return;
    acts[key](event);
    event.preventDefault();
  });

  function chooseClass(at, ofDetections) {
    if (ofDetections) {
      const kind = detections.layout?.classes[at];
      if (kind) detections.toggle(kind.name);
    } else if (at < classes.names.length) {
      classes.choose(classes.names[at]);
    }
  }
}

function writes(target) {
  const types = ["checkbox", "radio", "range"];
  return target.closest("input:not([hidden])") && !types.includes(target.type);
}
