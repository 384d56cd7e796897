// The buttons of the tools, beside the slide.

import { byId, element } from "./dom.js";
import { TOOLS } from "./tools.js";

export function toolButtons(tools) {
  const buttons = TOOLS.map(({ name, key, sign, title }) => {
    const button = element("button", { type: "button", title: `${title} (${key})` }, sign);
    button.setAttribute("role", "radio");
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => tools.choose(name));
    return button;
  });
  byId("tools").replaceChildren(...buttons);
  const show = () => {
    byId("tools").hidden = !tools.editable;
    buttons.forEach((button, at) => {
      button.setAttribute("aria-checked", String(TOOLS[at].name === tools.name));
    });
  };
  tools.addEventListener("chosen", show);
  show();
}
