// A picture's decoded pixels become the array that a model knows: the port of data/preprocessing.py.
// A grid is {height, width, channels, values}: 0–255, the channels of a pixel side by side.

const LONGEST = 16; // times the target that a filling picture is as long as, before it is cut

// `rgba`: {width, height, data} as a canvas gives it, upright. Returns a grid of the model's size and channels.
function see(model, rgba) {
  const { preprocessing: how, size: target, channels } = model;
  const opaque = onBackground(rgba, how.background);
  const sameSize = opaque.height === target[0] && opaque.width === target[1];

  if (how.photo === "fashion-mnist" && !sameSize) {
    const bright = productPhoto(opaque, target);
    const isLight = [model.background].flat()[0] >= 128;
    if (isLight) bright.values = bright.values.map((value) => 255 - value);
    return channels === 1 ? bright : threeTimes(bright);
  }
  return resized(channels === 1 ? grey(opaque) : opaque, target, how.resize);
}

// As Pillow's alpha_composite rounds it.
function onBackground({ width, height, data }, background) {
  const values = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    const weight = data[4 * i + 3] * 128;
    for (let channel = 0; channel < 3; channel++) {
      const sum = data[4 * i + channel] * weight + background[channel] * (255 * 128 - weight) + 0x4000;
      values[3 * i + channel] = ((sum >> 8) + sum) >> 15;
    }
  }
  return { height, width, channels: 3, values };
}

// ITU-R 601 in whole numbers, as Pillow does it.
function grey({ height, width, values }) {
  const out = new Uint8Array(height * width);
  for (let i = 0; i < out.length; i++)
    out[i] = (19595 * values[3 * i] + 38470 * values[3 * i + 1] + 7471 * values[3 * i + 2] + 0x8000) >> 16;
  return { height, width, channels: 1, values: out };
}

function threeTimes({ height, width, values }) {
  const out = new Uint8Array(3 * values.length);
  values.forEach((value, i) => out.fill(value, 3 * i, 3 * i + 3));
  return { height, width, channels: 3, values: out };
}

// From any size to one

function resized(grid, target, how) {
  if (grid.height === target[0] && grid.width === target[1]) return grid;
  if (how === "stretch") return scaled(grid, target);
  if (how === "pad") {
    const small = scaled(grid, inProportion(grid, target, Math.min));
    const canvas = blank(target, small.channels, corners(small).map((value) => Math.floor(value + 0.5)));
    paste(canvas, small, Math.floor((target[0] - small.height) / 2), Math.floor((target[1] - small.width) / 2));
    return canvas;
  }
  const middle = withoutFarEnds(grid, target);
  const filled = scaled(middle, inProportion(middle, target, Math.max));
  return cut(filled, Math.floor((filled.height - target[0]) / 2), Math.floor((filled.width - target[1]) / 2), target);
}

function inProportion({ height, width }, target, which) {
  const scale = which(target[0] / height, target[1] / width);
  return [height, width].map((side) => Math.max(1, Math.floor(side * scale + 0.5)));
}

function withoutFarEnds(grid, target) {
  const limit = (own, other, side, across) => Math.min(own, Math.max(1, Math.floor((other * LONGEST * side) / across)));
  const height = limit(grid.height, grid.width, target[0], target[1]);
  const width = limit(grid.width, grid.height, target[1], target[0]);
  if (height === grid.height && width === grid.width) return grid;
  return cut(grid, Math.floor((grid.height - height) / 2), Math.floor((grid.width - width) / 2), [height, width]);
}

function blank([height, width], channels, colour) {
  const values = new Uint8Array(height * width * channels).map((_, i) => colour[i % channels]);
  return { height, width, channels, values };
}

function paste(canvas, grid, top, left) {
  const length = grid.width * grid.channels;
  for (let y = 0; y < grid.height; y++)
    canvas.values.set(
      grid.values.subarray(y * length, (y + 1) * length),
      ((y + top) * canvas.width + left) * canvas.channels,
    );
}

function cut(grid, top, left, [height, width]) {
  const { channels } = grid;
  const values = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    const from = ((y + top) * grid.width + left) * channels;
    values.set(grid.values.subarray(from, from + width * channels), y * width * channels);
  }
  return { height, width, channels, values };
}

// The median of the four corners' values, channel by channel: the mean of the middle two.
function corners({ height, width, channels, values }) {
  const places = [0, width - 1, (height - 1) * width, height * width - 1];
  return Array.from({ length: channels }, (_, channel) => {
    const sorted = places.map((place) => values[place * channels + channel]).sort((a, b) => a - b);
    return (sorted[1] + sorted[2]) / 2;
  });
}

// Pillow's antialiased bilinear filter: first along the rows, then along the columns, rounded in between, with weights
// of 22 bits.
function scaled(grid, [height, width]) {
  const wide = grid.width === width ? grid : filtered(grid, width, true);
  return wide.height === height ? wide : filtered(wide, height, false);
}

function filtered(grid, length, alongRows) {
  const { channels } = grid;
  const taps = tapsOf(alongRows ? grid.width : grid.height, length);
  const [height, width] = alongRows ? [grid.height, length] : [length, grid.width];
  const values = new Uint8Array(height * width * channels);
  const step = alongRows ? channels : grid.width * channels;
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const { first, weights } = taps[alongRows ? x : y];
      const start = alongRows ? (y * grid.width + first) * channels : (first * grid.width + x) * channels;
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = 2 ** 21;
        for (let k = 0, at = start + channel; k < weights.length; k++, at += step) sum += grid.values[at] * weights[k];
        values[to] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22)));
      }
    }
  return { height, width, channels, values };
}

function tapsOf(length, wanted) {
  const scale = length / wanted;
  const support = Math.max(1, scale);
  return Array.from({ length: wanted }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, k) => Math.max(0, 1 - Math.abs((k + first - centre + 0.5) / support)));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: raw.map((weight) => Math.floor((weight / total) * 2 ** 22 + 0.5)) };
  });
}

// A product photo: the port of data/fashion_photo.py

const CLOSENESS = 0.05;

function productPhoto(grid, target) {
  const corner = corners(grid);
  const small = subsampled(trimmed(grid, corner), target);
  const greys = sharpenedGrey(small);

  const paper = luma(corner);
  const farthest = paper >= 128 ? 0 : 255;
  const canvas = blank(target, 1, [0]);
  const top = Math.floor((target[0] - small.height + 1) / 2);
  const left = Math.floor((target[1] - small.width + 1) / 2);
  greys.forEach((value, i) => {
    const [y, x] = [Math.floor(i / small.width), i % small.width];
    const bright = (255 * (value - paper)) / (farthest - paper);
    canvas.values[(y + top) * target[1] + x + left] = Math.min(255, Math.max(0, Math.round(bright)));
  });
  return canvas;
}

const luma = ([red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue;

function trimmed(grid, corner) {
  const limit = 3 * (CLOSENESS * 255) ** 2;
  let [top, bottom, left, right] = [grid.height, -1, grid.width, -1];
  for (let y = 0, at = 0; y < grid.height; y++)
    for (let x = 0; x < grid.width; x++, at += 3) {
      const distance = corner.reduce((sum, value, channel) => sum + (grid.values[at + channel] - value) ** 2, 0);
      if (distance <= limit) continue;
      [top, bottom] = [Math.min(top, y), y];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  return bottom < 0 ? grid : cut(grid, top, left, [bottom - top + 1, right - left + 1]);
}

function subsampled(grid, target) {
  const scale = Math.min(target[0] / grid.height, target[1] / grid.width);
  const [height, width] = [grid.height, grid.width].map((side) => Math.max(1, roundHalfToEven(side * scale)));
  const values = new Uint8Array(3 * height * width);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const row = Math.floor(((2 * y + 1) * grid.height) / (2 * height));
      const from = 3 * (row * grid.width + Math.floor(((2 * x + 1) * grid.width) / (2 * width)));
      for (let channel = 0; channel < 3; channel++, to++) values[to] = grid.values[from + channel];
    }
  return { height, width, channels: 3, values };
}

function roundHalfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

// The difference from a Gaussian blur is added in full at the strongest outline, elsewhere less.
function sharpenedGrey({ height, width, values }) {
  const side = Math.exp(-0.5);
  const bell = [side, 1, side].map((weight) => weight / (1 + 2 * side));
  const within = (place, length) => Math.min(length - 1, Math.max(0, place));
  const plain = Float64Array.from({ length: height * width }, (_, i) => luma(values.subarray(3 * i, 3 * i + 3)));

  const blurred = new Float64Array(height * width);
  const outline = new Float64Array(height * width);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let [blur, across, down] = [0, 0, 0];
      for (let i = -1; i <= 1; i++)
        for (let j = -1; j <= 1; j++) {
          const value = plain[within(y + i, height) * width + within(x + j, width)];
          blur += bell[i + 1] * bell[j + 1] * value;
          across += (i ? 1 : 2) * j * value;
          down += (j ? 1 : 2) * i * value;
        }
      blurred[y * width + x] = blur;
      outline[y * width + x] = Math.hypot(across, down);
    }

  const strongest = Math.max(...outline, 1e-6);
  return plain.map((value, i) => value + (outline[i] / strongest) * (value - blurred[i]));
}
