// The page: what is shown is decided by its address, as #mistakes/MODEL/LABEL/PREDICTED. No library, no build.

import { askAgain, classify, listenForPictures, showAnswer } from "./answer.js";
import { listenForDrawing, preparePad } from "./drawing.js";
import { addressOf, openKind, showKind, showMatrix } from "./mistakes.js";
import { $, ReadableError, ask, className, element, framed, keyOfServer, number, percent, pngOf, showError, showingErrors, state, word } from "./page.js";
import { WORDS } from "./words.js";

const TABS = ["try", "mistakes", "report", "compare"];

// Words

function setLanguage(language) {
  state.language = language;
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  try {
    localStorage.setItem("language", language);
  } catch {} // forbidden in some private windows
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  const gap = $("plain-ground").previousSibling; // Chinese sentences have no blank between
  if (gap.nodeType === Node.TEXT_NODE) gap.data = language === "zh" ? "" : " ";
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", word(each.dataset.label));
  for (const each of document.querySelectorAll("[data-title]")) each.title = word(each.dataset.title);
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  showModel();
  showAnswer();
  showError();
  labelExamples();
  showKind();
  if (state.tab === "report" || state.tab === "compare") openAddress(); // frames have a language of their own
}

// The sheet of examples: one stop for the tab key, arrows within

async function loadExamples() {
  const model = state.model;
  const examples = await ask(`/models/${encodeURIComponent(model.name)}/examples`);
  if (model !== state.model) return;
  $("examples-part").hidden = examples.length === 0;
  $("examples").replaceChildren(
    ...examples.map((example, i) => {
      const button = element("button", { type: "button", tabIndex: i === 0 ? 0 : -1 }, element("img", { src: example.image, alt: "" }));
      button.dataset.class = example.class;
      button.addEventListener("click", () => classify(pngOf(example.image), { truth: example.class }));
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

// Models

function showModel() {
  const { model } = state;
  if (!model) return;
  const values = model.accuracy !== null && {
    accuracy: percent(model.accuracy, 2),
    low: percent(model.interval[0], 2),
    high: percent(model.interval[1], 2),
    n: number(model.n),
  };
  const balanced = model.balanced_accuracy && {
    value: percent(model.balanced_accuracy.value, 1),
    low: percent(model.balanced_accuracy.interval[0], 1),
    high: percent(model.balanced_accuracy.interval[1], 1),
  };
  const scores = [values && word(model.judged_on, values), balanced && word("balanced", balanced)];
  $("score").textContent = scores.filter(Boolean).join("; ");
  $("draw-part").hidden = model.channels === 3; // a drawing is grey: a model of colours has seen nothing like it
  $("plain-ground").hidden = model.photo !== "fashion-mnist"; // others know things on any ground
  showMatrix();
}

// The picture stays, and is shown to the other model.
function chooseModel(name) {
  const model = state.models.find((each) => each.name === name);
  if (model === state.model) return undefined;
  const isFirst = state.model === null;
  Object.assign(state, { model, kind: null });
  $("model").value = name;
  showModel();
  showKind();
  preparePad();
  if (!isFirst && !$("beside").checked) askAgain();
  return showingErrors(loadExamples);
}

// Addresses: back and forward go from one thing to the other, and an address can be sent

function partsOfAddress() {
  try {
    return location.hash.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return []; // a part of it is no text
  }
}

async function openAddress() {
  if (!state.model) return;
  const address = location.hash;
  const [wanted, ...parts] = partsOfAddress();
  const tab = TABS.includes(wanted) && !$(`tab-${wanted}`).hidden ? wanted : "try";
  state.tab = tab;
  for (const other of TABS) {
    const button = $(`tab-${other}`);
    button.setAttribute("aria-selected", String(other === tab));
    button.tabIndex = other === tab ? 0 : -1;
    $(other).hidden = other !== tab;
  }
  state.error = null;
  showError();

  const [name, ...rest] = parts;
  if (tab === "mistakes" || tab === "report") {
    if (name && !state.models.some((model) => model.name === name)) {
      await showingErrors(async () => { throw new ReadableError("noModel"); });
      return;
    }
    if (name) await chooseModel(name);
    if (location.hash !== address) return; // it was left meanwhile
  }
  if (tab === "mistakes") await openKind(...rest);
  if (tab === "report") await showReport();
  if (tab === "compare") await showComparison(...parts);
}

function openTab(tab) {
  const address = tab === "mistakes" || tab === "report" ? addressOf(tab, state.model.name) : `#${tab}`;
  if (location.hash === address) return openAddress();
  location.hash = address;
  return undefined;
}

function listenForTabs() {
  const shown = () => TABS.filter((name) => !$(`tab-${name}`).hidden);
  for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => openTab(name));
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const names = shown();
    const current = names.findIndex((name) => document.activeElement === $(`tab-${name}`));
    const to = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = names[(to + names.length) % names.length];
    openTab(name);
    $(`tab-${name}`).focus();
  });
  window.addEventListener("hashchange", openAddress);
}

// Report and comparison, each in a frame that runs no script

function showReport() {
  const { model } = state;
  $("report-frame").hidden = !model.report;
  $("no-report").hidden = model.report;
  const { language } = state;
  const shows = JSON.stringify([model.name, language]);
  if (!model.report || $("report-frame").dataset.shows === shows) return undefined;
  return showingErrors(async () => {
    const address = await framed(`/models/${encodeURIComponent(model.name)}/report`, { language });
    if (model !== state.model || language !== state.language) return; // another one was chosen since
    $("report-frame").dataset.shows = shows;
    show($("report-frame"), address);
  });
}

// In the frame's own history, so that the page's Back goes to what was shown before.
const show = (frame, address) => frame.contentWindow.location.replace(address);

async function showComparison(baseline, run, split) {
  const names = state.models.map(({ name }) => name);
  const frame = $("compare-frame");
  const asked = location.hash;
  $("comparing").hidden = true;
  if (!names.includes(baseline) || !names.includes(run)) {
    frame.hidden = true;
    return;
  }
  Object.entries({ baseline, "compare-run": run, "compare-split": split }).forEach(([id, value]) => { $(id).value = value; });
  const query = { baseline, run, split, language: state.language };
  if (frame.dataset.shows === JSON.stringify(query)) {
    frame.hidden = false;
    return;
  }
  frame.hidden = true;
  $("comparing").hidden = false;
  await showingErrors(async () => {
    // Asked for here first: what keeps it from being made is then said in the page, and the server keeps what it made.
    const response = await fetch(`compare?${new URLSearchParams(query)}`, { headers: keyOfServer() ? { "X-API-Key": keyOfServer() } : {} });
    if (!response.ok) throw new ReadableError((await response.json()).error);
    const address = await framed("/compare", query);
    if (location.hash !== asked || query.language !== state.language) return; // another was chosen since
    frame.dataset.shows = JSON.stringify(query);
    frame.hidden = false;
    show(frame, address);
  });
  if (location.hash === asked) $("comparing").hidden = true;
}

function offerComparison() {
  const names = state.models.map(({ name }) => name);
  $("tab-compare").hidden = names.length < 2 || !state.models[0].compares;
  $("beside-part").hidden = names.length < 2;
  for (const [id, chosen] of [["baseline", 0], ["compare-run", 1]]) {
    $(id).replaceChildren(...names.map((name) => new Option(name, name)));
    $(id).selectedIndex = Math.min(chosen, names.length - 1);
  }
  $("compare-split").value = state.models.every(({ judged_on: on }) => on === "test") ? "test" : "validation";
}

// The start

function begin() {
  return showingErrors(async () => {
    state.models = await ask("/models");
    $("key").hidden = true;
    $("model").replaceChildren(...state.models.map(({ name }) => new Option(name, name)));
    document.title = `${state.models.map(({ name }) => name).join(", ")} · Fitting Room`;
    offerComparison();
    await chooseModel(state.models[0].name);
    await openAddress();
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
$("model").addEventListener("change", async (event) => {
  const name = event.target.value;
  if (state.tab === "mistakes" || state.tab === "report") location.hash = addressOf(state.tab, name);
  else await chooseModel(name);
});
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key-value").value);
  begin();
});
$("compare-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const address = addressOf("compare", $("baseline").value, $("compare-run").value, $("compare-split").value);
  if (location.hash === address) openAddress();
  else location.hash = address;
});
listenForTabs();
listenForPictures();
listenForDrawing();
listenForArrows();
setLanguage(preferredLanguage());
begin();
