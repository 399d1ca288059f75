// Fills what a line encloses: all pixels that hang together with one and are about as bright.

const ALIKE = 96; // levels of grey, of 255: the soft edge of a line is still a part of it

export function floodFill(context, { x, y }, colour) {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  const start = Math.min(height - 1, Math.floor(y)) * width + Math.min(width - 1, Math.floor(x));
  const isAlike = (i) => Math.abs(data[4 * i] - data[4 * start]) < ALIKE;
  const region = new Set([start]);
  for (const i of region) {
    const column = i % width;
    const around = [i - width, i + width, column > 0 ? i - 1 : -1, column < width - 1 ? i + 1 : -1];
    for (const next of around) if (next >= 0 && next < width * height && isAlike(next)) region.add(next); // and is visited
  }
  context.fillStyle = colour;
  for (const i of region) context.fillRect(i % width, Math.floor(i / width), 1, 1);
}
