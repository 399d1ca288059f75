// A trained network in plain JavaScript: the layers that artifact/browser_model.py lists, on one image.
// A map is {channels, height, width, values}: values of channel after channel, row after row.

function numbersOf({ shape, f2, f4 }) {
  const bytes = Uint8Array.from(atob(f2 ?? f4), (character) => character.charCodeAt(0));
  const values = f4 ? new Float32Array(bytes.buffer) : Float32Array.from(new Uint16Array(bytes.buffer), halfToNumber);
  return Object.assign(values, { shape });
}

function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// Decode the weights once, in place of their text.
function openModel(model) {
  const open = (value) => {
    if (Array.isArray(value)) return value.map(open);
    if (value === null || typeof value !== "object") return value;
    if (value.f2 !== undefined || value.f4 !== undefined) return numbersOf(value);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, open(inner)]));
  };
  return { ...model, layers: open(model.layers), space: open(model.space), scale: open(model.scale) };
}

// Pixels 0–255 of one image, row after row, the channels of a pixel side by side → what model.onnx answers.
function answer(model, pixels) {
  let map = normalized(model, pixels);
  let features = null;
  for (const layer of model.layers) {
    if (layer.op === "linear") features = map.values;
    map = LAYERS[layer.op](map, layer);
  }

  const logits = [...map.values];
  const energy = -logSumExp(logits);
  const largest = Math.max(...logits);
  const changed = logits.map((logit) => -(((largest - logit) / model.temperature) ** model.exponent));
  const total = logSumExp(changed);
  const residual = model.space && features ? residualOf(model.space, features) : null;
  const probabilities = changed.map((logit) => Math.exp(logit - total));
  let label = logits.indexOf(largest);
  if (model.threshold) {
    const { label: rare, value } = model.threshold;
    label = probabilities[rare] >= value ? rare : 1 - rare;
  }
  return {
    probabilities,
    label,
    energy,
    residual,
    typical: typicalOf(model.scale, energy, residual),
  };
}

function normalized({ channels, size: [height, width], mean, std }, pixels) {
  const area = height * width;
  const values = new Float32Array(channels * area);
  const of = (number, channel) => (Array.isArray(number) ? number[channel] : number);
  for (let channel = 0; channel < channels; channel++)
    for (let i = 0; i < area; i++)
      values[channel * area + i] = (pixels[i * channels + channel] - of(mean, channel)) / of(std, channel);
  return { channels, height, width, values };
}

// Layers

const LAYERS = {
  conv: (map, { weight, bias, stride, pad }) => convolve(map, weight, bias, stride, pad),
  extremes,
  pool: (map) => pool(map, Math.max),
  scale: (map, { scale, shift }) => each(map, (value, channel) => value * scale[channel] + shift[channel]),
  relu: (map) => each(map, (value) => Math.max(0, value)),
  add: (map, { body }) => add(map, through(body, map)),
  both_ways: (map, { body }) => mean([map, mirrored(map)].map((view) => through(body, view))),
  moved: (map, { body }) => mean(MOVES.map((by) => through(body, moved(map, by)))),
  max: largest,
  flatten: (map) => ({ channels: map.values.length, height: 1, width: 1, values: map.values }),
  linear: ({ values }, { weight, bias }) => {
    const out = times(weight, values, bias);
    return { channels: out.length, height: 1, width: 1, values: out };
  },
};

function convolve(map, weight, bias, stride, pad) {
  const [outputs, inputs, rows, columns] = weight.shape;
  const padded = withBorder(map, pad);
  const height = Math.floor((padded.height - rows) / stride) + 1;
  const width = Math.floor((padded.width - columns) / stride) + 1;
  const values = new Float32Array(outputs * height * width);
  const step = stride * padded.width;

  // One filter's weight at a time over the whole map: the inner loop is a multiplication and an addition.
  for (let output = 0, w = 0; output < outputs; output++) {
    const start = output * height * width;
    if (bias) values.fill(bias[output], start, start + height * width);
    for (let input = 0; input < inputs; input++)
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++, w++) {
          const factor = weight[w];
          let from = (input * padded.height + row) * padded.width + column;
          for (let y = 0, to = start; y < height; y++, from += step)
            for (let x = 0, at = from; x < width; x++, to++, at += stride) values[to] += factor * padded.values[at];
        }
  }
  return { channels: outputs, height, width, values };
}

function withBorder(map, pad) {
  if (pad === 0) return map;
  const [height, width] = [map.height + 2 * pad, map.width + 2 * pad];
  const values = new Float32Array(map.channels * height * width);
  for (let row = 0; row < map.channels * map.height; row++) {
    const channel = Math.floor(row / map.height);
    const to = (channel * height + (row % map.height) + pad) * width + pad;
    values.set(map.values.subarray(row * map.width, (row + 1) * map.width), to);
  }
  return { channels: map.channels, height, width, values };
}

// The largest and the least response to each pattern in every 2×2 window.
function extremes(map, { patterns }) {
  const responses = convolve(map, patterns, null, 1, 1);
  const parts = [pool(responses, Math.max), pool(responses, Math.min)];
  const values = new Float32Array(2 * parts[0].values.length);
  parts.forEach((part, i) => values.set(part.values, i * part.values.length));
  return { ...parts[0], channels: 2 * responses.channels, values };
}

function pool(map, which) {
  const [height, width] = [Math.floor(map.height / 2), Math.floor(map.width / 2)];
  const values = new Float32Array(map.channels * height * width);
  let to = 0;
  for (let channel = 0; channel < map.channels; channel++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, to++) {
        const at = (channel * map.height + 2 * y) * map.width + 2 * x;
        const below = at + map.width;
        values[to] = which(map.values[at], map.values[at + 1], map.values[below], map.values[below + 1]);
      }
  return { channels: map.channels, height, width, values };
}

function largest(map) {
  const area = map.height * map.width;
  const values = new Float32Array(map.channels).map((_, channel) =>
    map.values.subarray(channel * area, (channel + 1) * area).reduce((most, value) => Math.max(most, value), -Infinity),
  );
  return { channels: map.channels, height: 1, width: 1, values };
}

function each(map, change) {
  const area = map.height * map.width;
  return { ...map, values: map.values.map((value, i) => change(value, Math.floor(i / area))) };
}

const through = (layers, map) => layers.reduce((inner, layer) => LAYERS[layer.op](inner, layer), map);

const MOVES = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]];

const inside = (place, length) => Math.min(Math.max(place, 0), length - 1);

// The image moved by so many pixels, its edges repeated.
const moved = (map, [down, right]) =>
  taken(map, (y, x) => [inside(y - down, map.height), inside(x - right, map.width)]);

const mirrored = (map) => taken(map, (y, x) => [y, map.width - 1 - x]);

// What lies elsewhere in each channel: `from` says of a row and column, from which.
function taken({ channels, height, width, values }, from) {
  const place = (i) => {
    const y = Math.floor(i / width) % height;
    const [row, column] = from(y, i % width);
    return i + (row - y) * width + column - (i % width);
  };
  return { channels, height, width, values: values.map((_, i) => values[place(i)]) };
}

const add = (map, other) => ({ ...map, values: map.values.map((value, i) => value + other.values[i]) });

const mean = (maps) => each(maps.reduce(add), (value) => value / maps.length);

// A matrix (rows, columns) times a vector, plus another.
function times(matrix, vector, plus) {
  const [rows, columns] = matrix.shape;
  const out = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = plus ? plus[row] : 0;
    for (let column = 0; column < columns; column++) sum += matrix[row * columns + column] * vector[column];
    out[row] = sum;
  }
  return out;
}

function logSumExp(values) {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

// How strange: see artifact/feature_space.py and artifact/ood_score.py

const squared = (values) => values.reduce((sum, value) => sum + value * value, 0);

function residualOf(space, features) {
  const length = Math.max(Math.sqrt(squared(features)), 1e-12);
  const units = features.map((value) => value / length);
  const white = times(space.weight, units, space.bias);
  let distance = squared(white) + Math.min(...times(space.centres, white, space.squares));

  if (space.outside) {
    const { mean, basis, spread } = space.outside;
    const [directions, count] = basis.shape;
    const rest = units.map((value, i) => value - mean[i]);
    const along = times(basis, rest, null);
    for (let k = 0; k < directions; k++) for (let i = 0; i < count; i++) rest[i] -= along[k] * basis[k * count + i];
    distance += squared(rest) / spread ** 2;
  }
  return Math.sqrt(Math.max(0, distance));
}

const EXPONENT = -0.25;
const RESIDUAL_WEIGHT = 2;

// The share of validation images that are at least as strange; null where there were too few of them.
function typicalOf(scale, energy, residual) {
  if (!scale) return null;
  let atLeast = countAtLeast(scale, scale.energy, energy);
  if (scale.residual && residual !== null) {
    const share = (count) => ((count + 1) / (scale.n + 1)) ** EXPONENT;
    const beside = countAtLeast(scale, scale.residual, residual);
    atLeast = countAtLeast(scale, scale.joined, share(atLeast) + RESIDUAL_WEIGHT * share(beside));
  }
  const units = scale.groups || scale.n; // of a group, or of copies, all may be strange together
  return ((atLeast * units) / scale.n + 1) / (units + 1);
}

// `falling` starts with the strangest; what is no number is the strangest there is.
function countAtLeast({ counts }, falling, value) {
  const strangeness = Number.isNaN(value) ? Infinity : Math.fround(value);
  let found = 0;
  while (found < falling.length && falling[found] >= strangeness) found++;
  return counts[found];
}
