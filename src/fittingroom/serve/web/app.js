// The page: a picture goes to /predict, and what comes back is shown. No library, no build.

import { CLASSES } from "./class_names.js";
import { WORDS } from "./words.js";

const $ = (id) => document.getElementById(id);
const state = { models: [], model: null, language: "en", answer: null, truth: null, error: null, asked: 0, kind: null };

// Words

const word = (name, values = {}) =>
  WORDS[state.language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const className = (name) => CLASSES[state.language]?.[name] ?? name;
const percent = (share, digits = 1) =>
  new Intl.NumberFormat(state.language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);
const number = (n) => new Intl.NumberFormat(state.language).format(n);

function setLanguage(language) {
  state.language = language;
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  try {
    localStorage.setItem("language", language);
  } catch {} // forbidden in some private windows
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", word(element.dataset.label));
  for (const element of document.querySelectorAll("[data-title]")) element.title = word(element.dataset.title);
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  showModel();
  showAnswer();
  showError();
  labelExamples();
  showKind();
}

// The server

class ReadableError extends Error {} // its message is one of WORDS, or the server's own

async function ask(path, options = {}) {
  let key = "";
  try {
    key = sessionStorage.getItem("key") ?? "";
  } catch {}
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...(key && { "X-API-Key": key }) } });
  } catch {
    throw new ReadableError("offline");
  }
  if (response.ok) return response.json();
  if (response.status === 401) {
    $("key").hidden = false;
    $("key-value").focus();
  }
  const why = await response.json().then((body) => body.error, () => response.statusText);
  const known = { 401: "key", 413: "tooLarge", 503: "busy" }[response.status];
  throw new ReadableError(known ?? (why.startsWith("the picture: a picture") ? "notPicture" : why));
}

// Do some work, and show in the page what keeps it from being done.
async function showingErrors(work) {
  try {
    state.error = null;
    showError();
    await work();
  } catch (error) {
    state.error = error instanceof ReadableError ? error.message : String(error);
    showError();
  }
}

function showError() {
  const error = $("error");
  error.hidden = state.error === null;
  if (state.error !== null) error.textContent = state.error in WORDS.en ? word(state.error) : word("failed", { why: state.error });
}

// A picture, and its answer

async function classify(blob, truth = null, isDrawn = false) {
  const asked = ++state.asked;
  $("answer").setAttribute("aria-busy", "true");
  if (!state.answer) $("empty").textContent = word("waiting");
  await showingErrors(async () => {
    const query = new URLSearchParams({ model: state.model.name, explain: "1" });
    const answer = await ask(`/predict?${query}`, { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
    if (asked !== state.asked) return; // a newer picture is under way
    state.answer = answer;
    state.truth = truth;
  });
  if (asked !== state.asked) return;
  if (state.error !== null) state.answer = null;
  $("answer").setAttribute("aria-busy", "false");
  showAnswer();
  const isOneColumn = matchMedia("(max-width: 56rem)").matches;
  if (isOneColumn && !isDrawn) $("answer").scrollIntoView({ block: "start" });
}

function showAnswer() {
  const { answer } = state;
  $("result").hidden = !answer;
  $("empty").hidden = Boolean(answer);
  if (!answer) {
    $("empty").textContent = word("empty");
    return;
  }
  const name = className(answer.class);
  const values = { name, share: percent(answer.probability), truth: state.truth && className(state.truth) };
  $("headline").textContent = word(state.truth ? "headlineAndLabel" : "headline", values);
  $("seen").src = answer.seen;
  $("seen").alt = word("seen");
  $("bars").replaceChildren(...answer.top.slice(0, 10).map(bar));
  const calibrated = state.model.calibrated_on;
  $("calibrated").textContent = word(calibrated ? "calibrated" : "notCalibrated", { n: number(calibrated) });
  showHeat(answer);
  showOutOfDistribution(answer);
}

// `typical`: the share of validation images that are at least as strange as this one.
function showOutOfDistribution({ typical }) {
  const text = $("ood");
  const level = typical === null ? "noScale" : typical > 0.05 ? "usual" : typical > 0.01 ? "unusual" : "unlike";
  text.classList.toggle("unlike", level === "unlike" || level === "unusual");
  text.textContent = word(level, { share: percent(typical ?? 0, 0) });
}

function bar([name, probability]) {
  const item = document.createElement("li");
  const label = document.createElement("span");
  const share = document.createElement("span");
  const line = document.createElement("span");
  label.textContent = className(name);
  share.textContent = percent(probability);
  line.className = "line";
  line.style.setProperty("--share", probability);
  item.append(label, share, line);
  return item;
}

function showHeat(answer) {
  const heat = $("heat");
  const rows = answer.occlusion;
  const most = Math.max(...rows.flat());
  [heat.height, heat.width] = [rows.length, rows[0].length];
  const context = heat.getContext("2d");
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--other");
  rows.forEach((row, y) =>
    row.forEach((fall, x) => {
      context.globalAlpha = most >= 0.01 ? 0.85 * Math.max(0, fall / most) : 0;
      context.fillStyle = colour;
      context.fillRect(x, y, 1, 1);
    }),
  );
  heat.hidden = !$("show-heat").checked;
  const values = { name: className(answer.class), points: number(Math.round(100 * most)) };
  $("heat-text").textContent = $("show-heat").checked ? word(most >= 0.01 ? "heat" : "noHeat", values) : "";
}

function classifyFile(files) {
  const file = [...(files ?? [])].find((candidate) => candidate.type.startsWith("image/") || candidate.size > 0);
  if (file) classify(file);
  else showingErrors(async () => { throw new ReadableError("dropped"); });
}

function listenForPictures() {
  for (const id of ["file", "camera"])
    $(id).addEventListener("change", (event) => {
      classifyFile(event.target.files);
      event.target.value = ""; // so that the same file can be chosen again
    });
  const drop = $("drop");
  for (const name of ["dragenter", "dragover"])
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    classifyFile(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) classifyFile(event.clipboardData.files);
  });
  $("show-heat").addEventListener("change", () => showHeat(state.answer));
}

// Drawing

const pen = { x: 14, y: 14, isDown: false };

function clearCanvas() {
  const canvas = $("canvas");
  const [height, width] = state.model.image_size;
  Object.assign(canvas, { width, height });
  [pen.x, pen.y] = [width / 2, height / 2];
  const context = canvas.getContext("2d");
  context.fillStyle = paper();
  context.fillRect(0, 0, width, height);
}

const paper = () => (state.model.background < 128 ? "#000" : "#fff");
const ink = () => (state.model.background < 128 ? "#fff" : "#000");

function stroke(from, to, erase) {
  const context = $("canvas").getContext("2d");
  context.strokeStyle = erase ? paper() : ink();
  context.lineWidth = erase ? 4 : 2.5;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}

function sendDrawing() {
  $("canvas").toBlob((blob) => classify(blob, null, true), "image/png");
}

function listenForDrawing() {
  const canvas = $("canvas");
  const erases = () => document.querySelector("[name=tool]:checked").value === "erase";
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * canvas.width, y: ((event.clientY - box.top) / box.height) * canvas.height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const point = place(event);
    stroke(point, point, erases());
    Object.assign(pen, point, { isDown: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pen.isDown) return;
    const point = place(event);
    stroke(pen, point, erases());
    Object.assign(pen, point);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      if (pen.isDown) sendDrawing();
      pen.isDown = false;
    });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const marks = event.key === " " || event.key.toLowerCase() === "x";
    if (!step && !marks) return;
    event.preventDefault();
    if (step) {
      pen.x = Math.min(canvas.width - 1, Math.max(0, pen.x + step[0]));
      pen.y = Math.min(canvas.height - 1, Math.max(0, pen.y + step[1]));
      canvas.style.setProperty("--x", pen.x / canvas.width);
      canvas.style.setProperty("--y", pen.y / canvas.height);
    } else {
      stroke(pen, pen, event.key !== " ");
      sendDrawing();
    }
  });
  $("clear").addEventListener("click", clearCanvas);
}

// The sheet of examples: one stop for the tab key, arrows within

async function loadExamples() {
  const model = state.model;
  const examples = await ask(`/models/${encodeURIComponent(model.name)}/examples`);
  if (model !== state.model) return;
  $("examples-part").hidden = examples.length === 0;
  $("examples").replaceChildren(
    ...examples.map((example, i) => {
      const button = document.createElement("button");
      const image = document.createElement("img");
      Object.assign(button, { type: "button", tabIndex: i === 0 ? 0 : -1 });
      button.dataset.class = example.class;
      image.src = example.image;
      image.alt = "";
      button.append(image);
      button.addEventListener("click", () => classify(pngOf(example.image), example.class));
      return button;
    }),
  );
  labelExamples();
}

function labelExamples() {
  [...$("examples").children].forEach((button, i) =>
    button.setAttribute("aria-label", word("example", { n: i + 1, name: className(button.dataset.class) })),
  );
}

function pngOf(uri) {
  const bytes = Uint8Array.from(atob(uri.split(",")[1]), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

function listenForArrows() {
  $("examples").addEventListener("keydown", (event) => {
    const buttons = [...$("examples").children];
    const columns = getComputedStyle($("examples")).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const to = buttons[buttons.indexOf(document.activeElement) + step];
    if (!to) return;
    event.preventDefault();
    for (const button of buttons) button.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
}

// Mistakes

function showMatrix() {
  const { classes, confusion, mistakes } = state.model;
  const table = $("matrix");
  $("matrix-hint").textContent = word(mistakes ? "matrixHint" : "noMistakes");
  table.replaceChildren();
  if (!mistakes) return;
  const head = table.createTHead().insertRow();
  head.append(headerCell("", "col"), ...classes.map((name) => headerCell(className(name), "col")));
  const body = table.createTBody();
  const most = Math.max(1, ...confusion.flatMap((row, i) => row.filter((_, j) => i !== j)));
  confusion.forEach((counts, i) => {
    const row = body.insertRow();
    row.append(headerCell(className(classes[i]), "row"));
    counts.forEach((count, j) => row.append(matrixCell(classes[i], classes[j], count, count / most)));
  });
}

function headerCell(text, scope) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.textContent = text;
  return cell;
}

function matrixCell(truth, predicted, count, share) {
  const cell = document.createElement("td");
  if (truth === predicted || count === 0) {
    cell.textContent = truth === predicted ? number(count) : "·";
    cell.className = truth === predicted ? "right" : "none";
    return cell;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = number(count);
  button.setAttribute("aria-label", word("cell", { truth: className(truth), predicted: className(predicted), n: count }));
  button.style.setProperty("--share", Math.sqrt(share));
  button.addEventListener("click", () => loadMistakes(truth, predicted, count));
  cell.append(button);
  return cell;
}

function loadMistakes(truth, predicted, count) {
  return showingErrors(async () => {
    const { model } = state;
    const query = new URLSearchParams({ truth, predicted });
    const images = await ask(`/models/${encodeURIComponent(model.name)}/mistakes?${query}`);
    if (model !== state.model) return; // another one was chosen since
    state.kind = { truth, predicted, count, images };
    showKind();
    $("kind").scrollIntoView({ block: "nearest" });
  });
}

function showKind() {
  const { kind } = state;
  $("kind").textContent = kind ? word("kind", { truth: className(kind.truth), predicted: className(kind.predicted), n: number(kind.count) }) : "";
  $("wrong").replaceChildren(...(kind?.images ?? []).map((mistake) => {
    const item = document.createElement("li");
    const text = document.createElement("span");
    text.textContent = word("row", { row: number(mistake.row), share: percent(mistake.probability) });
    if (mistake.image) {
      const button = document.createElement("button");
      const image = document.createElement("img");
      Object.assign(image, { src: mistake.image, alt: text.textContent });
      button.type = "button";
      button.append(image);
      button.addEventListener("click", () => {
        openTab("try");
        classify(pngOf(mistake.image), kind.truth);
      });
      item.append(button);
    } else {
      text.textContent += " · " + word("noImage");
    }
    item.append(text);
    return item;
  }));
}

// Models, tabs, the start

function showModel() {
  const { model } = state;
  if (!model) return;
  const values = model.accuracy !== null && {
    accuracy: percent(model.accuracy, 2),
    low: percent(model.interval[0], 1),
    high: percent(model.interval[1], 1),
    n: number(model.n),
  };
  $("score").textContent = values ? word(model.judged_on, values) : "";
  $("draw-part").hidden = model.channels === 3; // a drawing is grey: a model of colours has seen nothing like it
  $("plain-ground").hidden = model.photo !== "fashion-mnist"; // others know things on any ground
  showMatrix();
}

function chooseModel(name) {
  state.model = state.models.find((model) => model.name === name);
  ++state.asked; // what is under way was asked of the other model
  $("answer").setAttribute("aria-busy", "false");
  state.answer = state.truth = state.kind = null;
  showModel();
  showAnswer();
  showKind();
  clearCanvas();
  showReport();
  return showingErrors(loadExamples);
}

function showReport() {
  const isOpen = !$("report").hidden;
  $("report-frame").hidden = !state.model.report;
  $("no-report").hidden = state.model.report;
  if (isOpen && state.model.report) $("report-frame").src = `/models/${encodeURIComponent(state.model.name)}/report`;
}

const TABS = ["try", "mistakes", "report"];

function openTab(name) {
  for (const other of TABS) {
    const tab = $(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    $(other).hidden = other !== name;
  }
  showReport();
}

function listenForTabs() {
  for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => openTab(name));
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const current = TABS.findIndex((name) => document.activeElement === $(`tab-${name}`));
    const to = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = TABS[(to + TABS.length) % TABS.length];
    openTab(name);
    $(`tab-${name}`).focus();
  });
}

function begin() {
  return showingErrors(async () => {
    state.models = await ask("/models");
    $("key").hidden = true;
    $("model").replaceChildren(...state.models.map(({ name }) => new Option(name, name)));
    document.title = `${state.models.map(({ name }) => name).join(", ")} · Fitting Room`;
    await chooseModel(state.models[0].name);
  });
}

function preferredLanguage() {
  try {
    const kept = localStorage.getItem("language");
    if (kept in WORDS) return kept;
  } catch {}
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => setLanguage(button.dataset.language));
$("model").addEventListener("change", (event) => chooseModel(event.target.value));
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key-value").value);
  begin();
});
listenForTabs();
listenForPictures();
listenForDrawing();
listenForArrows();
setLanguage(preferredLanguage());
begin();
