// The map: an image that is chosen, by pointer or by keys, is shown larger and named. The picture itself needs no script.

const $ = (id) => document.getElementById(id);
const { split, classes, cell, images } = JSON.parse($("map-data").textContent);
const points = images.map(([column, row, truth, predicted, thousandths, name], number) => ({ column, row, truth, predicted, share: thousandths / 1000, name, number }));
const mistakes = points.filter(({ truth, predicted }) => truth !== predicted);
const at = new Map(points.map((point) => [`${point.column} ${point.row}`, point]));
const picture = $("map-picture");
const grid = $("map-grid");
let chosen = mistakes[0] ?? points[0];

// Words, in the language of the page

const language = () => (document.documentElement.lang.startsWith("zh") ? "zh" : "en");
const word = (name, values = {}) => MAP_WORDS[language()][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const className = (number) => CLASSES[language()]?.[classes[number]] ?? classes[number];
const figure = (n) => new Intl.NumberFormat(language()).format(n);
const percent = (share) => new Intl.NumberFormat(language(), { style: "percent", minimumFractionDigits: 1 }).format(share);

function showWords() {
  for (const element of document.querySelectorAll("[data-map-word]")) element.textContent = word(element.dataset.mapWord);
  const before = $("map-class").value;
  $("map-class").replaceChildren(new Option(word("all"), ""), ...classes.map((_, number) => new Option(className(number), number)));
  $("map-class").value = before;
  show(chosen);
}

// An image

const nameOf = ({ name }) => (typeof name === "number" ? word(split, { row: figure(name) }) : name);
const isMistake = ({ truth, predicted }) => truth !== predicted;
const verdict = (point) => word(isMistake(point) ? "wrong" : "right", { predicted: className(point.predicted), share: percent(point.share) });

function draw(canvas, { column, row }) {
  const side = cell - 2;
  const paper = canvas.getContext("2d");
  paper.clearRect(0, 0, side, side); // an image that isn't square leaves what was there before
  paper.drawImage(picture, column * cell + 1, row * cell + 1, side, side, 0, 0, side, side);
}

function line(text, kind) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}

function show(point) {
  chosen = point;
  draw($("map-image"), point);
  $("map-says").replaceChildren(
    line(verdict(point), isMistake(point) ? "wrong" : "right"),
    line(word("label", { truth: className(point.truth) }), "truth"),
    line(nameOf(point), "name"),
  );
  const frame = $("map-chosen");
  frame.setAttribute("x", point.column * cell - 1);
  frame.setAttribute("y", point.row * cell - 1);
  frame.setAttribute("visibility", "visible");
  showAround(point);
}

// A lens: the cells around it, large enough for a finger.
function showAround(point) {
  const near = [];
  for (let row = point.row - 1; row <= point.row + 1; row++)
    for (let column = point.column - 2; column <= point.column + 2; column++) near.push(at.get(`${column} ${row}`));
  $("map-around").replaceChildren(
    ...near.map((each) => {
      if (!each) return document.createElement("span");
      const button = document.createElement("button");
      const canvas = Object.assign(document.createElement("canvas"), { width: cell - 2, height: cell - 2 });
      button.type = "button";
      button.classList.toggle("mistake", isMistake(each));
      if (each === point) button.setAttribute("aria-current", "true");
      button.setAttribute("aria-label", `${verdict(each)}, ${word("label", { truth: className(each.truth) })}`);
      draw(canvas, each);
      button.append(canvas);
      button.addEventListener("click", () => {
        show(each);
        $("map-around").querySelector("[aria-current]").focus();
      });
      return button;
    }),
  );
}

function showClass() {
  const wanted = $("map-class").value;
  const others = wanted === "" ? [] : points.filter(({ truth }) => truth !== Number(wanted));
  $("map-dim").setAttribute("d", others.map(({ column, row }) => `M${column * cell} ${row * cell}h${cell}v${cell}h-${cell}z`).join(""));
}

// Ways to choose one

function nearestTo(x, y) {
  const distance = ({ column, row }) => (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2;
  return points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
}

// The next image in a direction: ahead counts once, to the side three times.
function ahead(from, [dx, dy]) {
  let best = from;
  let least = Infinity;
  for (const point of points) {
    const [x, y] = [point.column - from.column, point.row - from.row];
    const along = x * dx + y * dy;
    const cost = along + 3 * Math.abs(x * dy - y * dx);
    if (along > 0 && cost < least) [best, least] = [point, cost];
  }
  return best;
}

function step(by) {
  if (!mistakes.length) return;
  const now = mistakes.indexOf(chosen);
  show(mistakes[now < 0 ? 0 : (now + by + mistakes.length) % mistakes.length]);
  reveal();
}

// On a narrow screen the map scrolls sideways.
function reveal() {
  const frame = grid.parentElement;
  const x = ((chosen.column + 0.5) * cell * grid.clientWidth) / picture.naturalWidth;
  if (x < frame.scrollLeft || x > frame.scrollLeft + frame.clientWidth) frame.scrollLeft = x - frame.clientWidth / 2;
}

function listen() {
  grid.addEventListener("click", (event) => {
    const box = grid.getBoundingClientRect();
    show(nearestTo(((event.clientX - box.left) / box.width) * (picture.naturalWidth / cell), ((event.clientY - box.top) / box.height) * (picture.naturalHeight / cell)));
  });
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { n: 1, p: -1 }[event.key.toLowerCase()];
    if (!directions[event.key] && !steps) return;
    event.preventDefault();
    if (steps) return step(steps);
    show(ahead(chosen, directions[event.key]));
    reveal();
  });
  $("map-previous").addEventListener("click", () => step(-1));
  $("map-next").addEventListener("click", () => step(1));
  $("map-class").addEventListener("change", showClass);
  new MutationObserver(showWords).observe(document.documentElement, { attributeFilter: ["lang"] });
}

async function begin() {
  await picture.decode();
  grid.setAttribute("role", "application");
  grid.setAttribute("aria-describedby", "map-hint");
  grid.tabIndex = 0;
  $("map-side").hidden = false;
  if (!mistakes.length) $("map-previous").parentElement.hidden = true;
  listen();
  showWords();
}
begin();
