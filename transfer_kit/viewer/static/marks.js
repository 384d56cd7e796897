// How nuclei and areas are drawn. Many marks of one colour are one path: that is quick.

const DOT = 3.2;

// Positions on the screen `places` is a flat list x, y, x, y …
export function drawMarks(context, places, { shape, colour, radius, width = 2 }) {
  if (!places.length) return;
  if (radius < DOT) {
    context.fillStyle = colour;
    for (let i = 0; i < places.length; i += 2) {
      context.fillRect(places[i] - 1.6, places[i + 1] - 1.6, DOT, DOT);
    }
    return;
  }
  context.beginPath();
  for (let i = 0; i < places.length; i += 2) {
    SHAPES[shape](context, places[i], places[i + 1], radius);
  }
  strokeTwice(context, colour, width);
}

const SHAPES = {
  circle(context, x, y, radius) {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  },
  square(context, x, y, radius) {
    const half = 0.88 * radius;
    context.rect(x - half, y - half, 2 * half, 2 * half);
  },
  cross(context, x, y, radius) {
    const half = 0.75 * radius;
    context.moveTo(x - half, y - half);
    context.lineTo(x + half, y + half);
    context.moveTo(x + half, y - half);
    context.lineTo(x - half, y + half);
  },
};

// A dark rim keeps a bright line apart from bright tissue.
export function strokeTwice(context, colour, width) {
  context.lineJoin = "round";
  context.strokeStyle = "rgba(0, 0, 0, .55)";
  context.lineWidth = width + 1.6;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

// Adds rings of image positions [[x, y], …] to the path.
export function traceRings(context, frame, rings) {
  for (const ring of rings) {
    ring.forEach(([x, y], at) => {
      const [across, down] = [frame.left + x * frame.scale, frame.top + y * frame.scale];
      if (at) context.lineTo(across, down);
      else context.moveTo(across, down);
    });
    context.closePath();
  }
}

// The radius of a mark on the screen: that of the match, but never tiny or vast.
export function markRadius(frame, radiusPx) {
  return Math.min(Math.max(frame.scale * radiusPx, 2), 26);
}
