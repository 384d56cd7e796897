// Short words for the document.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function colourSpot(colour) {
  const spot = element("i", { className: "spot" });
  spot.style.background = colour;
  return spot;
}

export const counted = (number) => (number ?? 0).toLocaleString("en");

// Calls `act` once things have been quiet for a while.
export function debounced(act, milliseconds) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
}
