// The panel of labels: classes, areas, undo, and what is said of saving.

import { spoken } from "./classes.js";
import { byId, colourSpot, counted, element } from "./dom.js";
import { fail, say } from "./message.js";

export function labelControls({ labels, layer, classes, saving, accept }) {
  byId("show-labels").addEventListener("change", ({ target }) => layer.show(target.checked));
  byId("undo").addEventListener("click", () => labels.undo());
  byId("redo").addEventListener("click", () => labels.redo());
  byId("accept").addEventListener("click", () => accept(labels.selected));
  byId("delete-region").addEventListener("click", () => labels.removeRegion(labels.selected));
  byId("area-name").addEventListener("focus", () => {
    document.querySelector("input[name=area][value=named]").checked = true;
  });
  for (const name of ["loaded", "changed", "selected"]) {
    labels.addEventListener(name, () => showLabels(labels, saving));
  }
  classes.addEventListener("changed", () => listClasses(classes));
  byId("add-class").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = byId("new-class");
    classes.add(field.value).then(() => { field.value = ""; }, fail);
  });
  savingControls(saving);
}

// The name of areas that are drawn now: null for labelled regions, undefined if it is missing.
export function areaName() {
  if (document.querySelector("input[name=area]:checked").value === "labelled") return null;
  const name = byId("area-name").value.trim();
  if (name) return name;
  say("Give the area a name first, such as tumour.");
  byId("area-name").focus();
  return undefined;
}

export function showPlace(said) {
  const { read_only: readOnly, note, file } = said;
  byId("label-note").textContent = readOnly || note || `Each change is saved at once, in ${file}.`;
  byId("editing").hidden = Boolean(readOnly);
}

function showLabels(labels, saving) {
  const labelled = labels.regions.filter(({ name }) => name === null).length;
  const named = labels.regions.length - labelled;
  const areas = named ? `, ${counted(named)} named ${named === 1 ? "area" : "areas"}` : "";
  byId("label-counts").textContent =
    `${counted(labels.nuclei.length)} ${labels.nuclei.length === 1 ? "nucleus" : "nuclei"}, ` +
    `${counted(labelled)} labelled ${labelled === 1 ? "region" : "regions"}${areas}`;
  byId("undo").disabled = !labels.past.length;
  byId("redo").disabled = !labels.future.length;
  byId("region-actions").hidden = !labels.selected || Boolean(saving.readOnly);
  byId("whole-image").hidden = !labels.nuclei.length || labelled > 0;
}

function listClasses(classes) {
  const rows = classes.names.map((name, at) => {
    const button = element("input", { type: "radio", name: "label-class", checked: name === classes.chosen });
    button.addEventListener("change", () => classes.choose(name));
    const key = at < 9 ? element("kbd", {}, String(at + 1)) : "";
    return element("li", {}, element("label", {}, button, colourSpot(classes.colour(name)), spoken(name)), key);
  });
  byId("label-classes").replaceChildren(...rows);
}

function savingControls(saving) {
  saving.addEventListener("told", () => { byId("save-state").textContent = saving.words; });
  saving.addEventListener("saved", () => { byId("conflict").hidden = true; });
  saving.addEventListener("failed", ({ detail: error }) => {
    if (error.status !== 409) return fail(error);
    byId("conflict").hidden = false;
    byId("conflict").querySelector("p").textContent = error.message;
  });
  byId("load-theirs").addEventListener("click", () => {
    byId("conflict").hidden = true;
    saving.open(saving.number).then((said) => said && showPlace(said), fail);
  });
  byId("keep-mine").addEventListener("click", () => saving.overwrite().catch(fail));
}
