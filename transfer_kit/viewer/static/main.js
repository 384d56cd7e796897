// The page put together: one image at a time, with its detections, labels, and how they compare.

import { getJson, send } from "./api.js";
import { Classes } from "./classes.js";
import { Comparison } from "./comparison.js";
import { comparisonControls } from "./comparison_controls.js";
import { Detections } from "./detections.js";
import { detectionControls } from "./detection_controls.js";
import { byId } from "./dom.js";
import { ImageList } from "./image_list.js";
import { keyboard } from "./keyboard.js";
import { areaName, labelControls, showPlace } from "./label_controls.js";
import { LabelLayer } from "./label_layer.js";
import { Labels } from "./labels.js";
import { fail, say } from "./message.js";
import { Overlay } from "./overlay.js";
import { Saving } from "./saving.js";
import { showScaleBar } from "./scale_bar.js";
import { SlideView } from "./slide_view.js";
import { toolButtons } from "./tool_buttons.js";
import { Tools } from "./tools.js";

const { images } = await getJson("api/images");
const list = new ImageList(images); // first, since it takes room from the slide
const view = new SlideView(byId("slide"));
const overlay = new Overlay(view);
const comparison = new Comparison(view, overlay, fail);
const detections = new Detections(view, overlay, comparison, fail);
const labels = new Labels();
const classes = new Classes();
const layer = new LabelLayer(labels, classes, overlay);
const saving = new Saving(labels);
const tools = new Tools(view, { labels, layer, classes, areaName });
overlay.layers.push(detections, comparison, layer);

detectionControls(detections);
comparisonControls(comparison, detections);
labelControls({ labels, layer, classes, saving, accept });
toolButtons(tools);
view.addEventListener("moved", () => showScaleBar(view));
view.addEventListener("unreadable", () => say("A part of this image cannot be read: it is damaged."));
saving.addEventListener("saved", ({ detail: fault }) => {
  if (fault) say(fault);
  list.count(saving.number);
  if (comparison.layout?.where !== "truth") comparison.look(saving.number).catch(fail);
});

list.addEventListener("chosen", ({ detail: number }) => show(number));
keyboard({ view, list, tools, labels, classes, detections });
byId("previous").addEventListener("click", () => list.step(-1));
byId("next").addEventListener("click", () => list.step(1));
byId("zoom-in").addEventListener("click", () => view.zoomBy(1.5));
byId("zoom-out").addEventListener("click", () => view.zoomBy(1 / 1.5));
byId("zoom-home").addEventListener("click", () => view.home());
byId("open-help").addEventListener("click", () => byId("help").showModal());
window.addEventListener("beforeunload", (event) => {
  if (!saving.dirty) return;
  saving.save();
  event.preventDefault();
});
await show(numberInAddress() ?? 0);

async function show(number) {
  if (!(await saving.flush())) return; // what could not be saved is not left behind
  tools.setEditable(false);
  detections.close();
  comparison.close();
  labels.load({ nuclei: [], regions: [] });
  byId("conflict").hidden = true;
  list.mark(number);
  byId("image-name").textContent = images[number].name;
  history.replaceState(null, "", `#${number + 1}`);
  try {
    const image = await getJson(`api/images/${number}`);
    if (list.current !== number) return;
    await view.open(number, image);
    if (list.current !== number) return; // the reader went on meanwhile
    await Promise.all([openLabels(number), openFound(number, image)]);
  } catch (error) {
    fail(error);
  }
  document.body.dataset.shown = number; // for those who wait for it
}

async function openLabels(number) {
  const said = await saving.open(number);
  if (!said) return;
  classes.learn(said.classes);
  showPlace(said);
  tools.setEditable(!said.read_only);
}

async function openFound(number, image) {
  comparison.setDetector({ mpp: image.mpp });
  const known = comparison.open(number);
  await detections.open(number);
  if (list.current !== number) return;
  const layout = detections.layout;
  comparison.setDetector({ radiusUm: layout?.radius_um, mpp: image.mpp });
  if (layout) classes.learn(layout.classes);
  await known;
  comparison.dispatchEvent(new Event("opened"));
}

// Detections of the shown classes, from the threshold on, become labels, unless there is one.
async function accept(region) {
  try {
    const found = await send("POST", `api/images/${saving.number}/accepted`, {
      outline: region.outline,
      threshold: detections.threshold,
      hidden: detections.layout ? detections.hiddenKinds : [],
    });
    const fresh = found.filter((nucleus) => !labels.nearest(nucleus, comparison.radiusPx));
    if (fresh.length) labels.addAll(fresh);
    say(`${fresh.length} of ${found.length} detections are labels now; correct what is wrong.`);
  } catch (error) {
    fail(error);
  }
}

function numberInAddress() {
  const number = Number(location.hash.slice(1)) - 1;
  return Number.isInteger(number) && number >= 0 && number < images.length ? number : null;
}
