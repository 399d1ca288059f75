// The page's part: asks for news, which come when there are some, and shows them in place.

import { CLASSES } from "./class_names.js";
import { percentOf } from "./share.js";
import { WORDS } from "./words.js";

const $ = (id) => document.getElementById(id);
const RETRY_MILLISECONDS = 1500;
const MOST_FAILURES = 4; // after which the process is taken to be gone
const shown = {
  language: navigator.languages.find((tag) => /^(en|zh)/i.test(tag))?.slice(0, 2).toLowerCase() ?? "en",
  state: null,
  asked: null,
  gone: false,
};
let question = new AbortController();

// Words

const word = (name, values = {}) => WORDS[shown.language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const className = (name) => CLASSES[shown.language]?.[name] ?? name;
const number = (value, options) => new Intl.NumberFormat(shown.language, options).format(value);
const percent = (share, digits = 2) => percentOf(share, digits, shown.language);
const digits = (value, count) =>
  value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(count - 1) : number(value, { minimumSignificantDigits: count, maximumSignificantDigits: count });

function duration(seconds) {
  if (seconds < 100) return word("seconds", { n: number(Math.ceil(seconds)) });
  if (seconds < 6000) return word("minutes", { n: number(Math.round(seconds / 60)) });
  return word("hours", { n: number(seconds / 3600, { maximumFractionDigits: 1 }) });
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function translate(root) {
  for (const one of root.querySelectorAll("[data-word]")) one.textContent = word(one.dataset.word);
  for (const one of root.querySelectorAll("[data-label]")) one.setAttribute("aria-label", word(one.dataset.label));
}

function setLanguage(language) {
  shown.language = language;
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  translate(document);
  show();
}

// What is shown

function show() {
  const state = shown.state;
  if (state === null) return;
  const standing = shown.gone ? "gone" : state.standing;
  $("standing").textContent = word(standing);
  showNotice(state, standing);
  if (state.standing === "damaged") return;
  document.title = `${headline(state)} · ${state.name}`;
  $("headline").textContent = headline(state);
  $("lead").textContent = lead(state);
  showFacts(state, standing);
  showMembers(state);
  showCurves(state);
  showAnswers(state);
  showMatrix(state);
}

function showNotice(state, standing) {
  const notice = { gone: "goneNotice", stopped: "stoppedNotice" }[standing];
  const said = [notice && word(notice, { command: state.resume }), state.problem].filter(Boolean);
  $("notice").hidden = said.length === 0;
  if ($("notice").textContent !== said.join(" ")) $("notice").textContent = said.join(" "); // read out once
}

function headline({ now }) {
  if (now.validation_accuracy !== null) return word("headline", { share: percent(now.validation_accuracy) });
  if (now.train_accuracy !== null) return word("headlineTraining", { share: percent(now.train_accuracy) });
  return now.loss === null ? word("begins") : word("headlineLoss", { loss: number(now.loss, { maximumFractionDigits: 3 }) });
}

function lead(state) {
  const words = leadOfTraining(state);
  return state.shown === null ? words : word("ofSeed", { n: state.shown.replace("seed-", ""), lead: words });
}

function leadOfTraining({ now, standing, report, folds }) {
  if (standing === "finishing") return word("leadFinishing");
  if (standing === "done") return word("leadDone", { command: report });
  if (now.validation_accuracy !== null) return word("leadValidation", { epoch: number(now.validated_after), epochs: number(now.epochs) });
  if (now.train_accuracy !== null) return word("leadTraining");
  if (now.loss !== null) return word("leadLoss");
  return folds ? word("folds", { n: folds }) : word("beginsLead");
}

function showFacts({ now, speed, members }, standing) {
  const all = members.length ? members.map((one) => [one.step, one.steps || now.steps]) : [[now.step, now.steps]];
  const planned = all.reduce((sum, [, steps]) => sum + steps, 0);
  $("progress").value = planned ? all.reduce((sum, [step]) => sum + step, 0) / planned : 0;

  const facts = [];
  if (now.step) {
    facts.push(["epoch", word("ofN", { i: number(now.epoch), n: number(now.epochs) })]);
    facts.push(["step", word("ofN", { i: number(now.step), n: number(now.steps) })]);
    facts.push(["lossNow", digits(now.loss, 3)]);
    if (now.validation_loss !== null) facts.push(["validationLoss", digits(now.validation_loss, 3)]);
    facts.push(["rate", digits(now.rate, 2)]);
  }
  if (speed.images !== null) facts.push(["speed", number(Math.round(speed.images))]);
  if (speed.left !== null && standing === "training") facts.push(["left", duration(speed.left)]);
  $("facts").replaceChildren(
    ...facts.map(([name, value]) => {
      const fact = element("div");
      fact.append(element("dt", word(name)), element("dd", value, { "data-fact": name }));
      return fact;
    }),
  );
}

function showMembers({ members, shown: current }) {
  $("seeds").hidden = members.length === 0;
  const focused = document.activeElement?.dataset?.member;
  $("members").replaceChildren(
    ...members.map((member) => {
      const row = element("tr", undefined, { "aria-current": String(member.name === current) });
      const name = element("th", undefined, { scope: "row" });
      const button = element("button", member.name.replace("seed-", ""), { type: "button", "data-member": member.name, "aria-label": word("showSeed", { name: member.name }) });
      button.addEventListener("click", () => ask(member.name));
      name.append(button);
      const done = element("td");
      done.append(element("progress", undefined, { max: 1, value: member.steps ? member.step / member.steps : 0, "aria-label": word("progress") }));
      row.append(name, element("td", word(member.standing)), done);
      row.append(element("td", member.accuracy === null || member.accuracy === undefined ? "–" : percent(member.accuracy), { class: "number" }));
      row.append(element("td", member.loss === null || member.loss === undefined ? "–" : number(member.loss, { maximumFractionDigits: 4, minimumFractionDigits: 4 }), { class: "number" }));
      return row;
    }),
  );
  if (focused) document.querySelector(`[data-member="${CSS.escape(focused)}"]`)?.focus();
}

function showCurves({ curves, members }) {
  const place = $("curves");
  if (curves === null) return place.replaceChildren(element("p", word("noCurves"), { class: "small" }));
  place.innerHTML = curves; // made by the template of this package, in which every text is escaped
  place.classList.toggle("overlay", members.length > 1);
  translate(place);
}

function showAnswers({ answers, no_answers: none }) {
  $("no-answers").hidden = answers !== null;
  $("answers-note").hidden = answers === null;
  $("answers-heading").textContent = answers === null ? word("noAnswers") : word("answers", { n: answers.examples.length });
  if (answers === null) {
    $("no-answers").textContent = word(none === "damaged" ? "answers-damaged" : none);
    $("score").textContent = "";
    return $("tiles").replaceChildren();
  }
  const { classes, examples, step } = answers;
  $("answers-note").textContent = word("answersNote");
  const right = examples.filter((one) => one.label === one.predicted).length;
  $("score").textContent = word("score", { right, step: number(step) });

  // Each tile stays, so that its border is seen to turn.
  const tiles = $("tiles");
  while (tiles.children.length > examples.length) tiles.lastChild.remove();
  examples.forEach((one, i) => {
    let tile = tiles.children[i];
    if (!tile) {
      tile = element("li");
      tile.append(element("img", undefined, { class: "tile" }), element("span", "", { class: "answer" }), element("span", "", { class: "truth" }));
      tiles.append(tile);
    }
    const [image, answer, truth] = tile.children;
    const isRight = one.label === one.predicted;
    const names = { name: className(classes[one.predicted]), truth: className(classes[one.label]), share: percent(one.probability, 0) };
    if (image.getAttribute("src") !== one.image) image.setAttribute("src", one.image);
    image.alt = word("tile", names);
    image.title = [one.file, image.alt].filter(Boolean).join(": ");
    tile.className = isRight ? "right" : "wrong";
    answer.textContent = isRight ? names.name : `✗ ${names.name}`;
    truth.textContent = isRight ? "" : word("label", { name: names.truth });
  });
}

function showMatrix({ answers }) {
  const matrix = answers?.matrix ?? null;
  $("confusion").hidden = matrix === null;
  if (matrix === null) return;
  const names = answers.classes.map(className);
  $("matrix-of").textContent = word("matrixOf", { n: number(matrix.n), step: number(matrix.step) });
  if ($("matrix-head").dataset.names !== JSON.stringify(names)) layMatrixOut(names);
  const worst = Math.max(1, ...matrix.counts.flatMap((row, i) => row.filter((_, j) => i !== j)));
  matrix.counts.forEach((row, i) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    row.forEach((count, j) => {
      const cell = $("matrix-rows").rows[i].cells[j + 1];
      const share = count / Math.max(1, all);
      cell.className = count === 0 ? "none" : i === j ? "right" : "wrong";
      cell.style.setProperty("--share", (i === j ? share : Math.sqrt(count / worst)).toFixed(3));
      cell.title = word("cell", { truth: names[i], answer: names[j], n: number(count), all: number(all) });
      cell.children[0].textContent = number(count);
      cell.children[1].textContent = percent(share, 0);
    });
  });
}

function layMatrixOut(names) {
  $("matrix-head").dataset.names = JSON.stringify(names);
  const head = element("tr");
  head.append(element("td"));
  for (const name of names) {
    const column = element("th", undefined, { scope: "col" });
    column.append(element("span", name));
    head.append(column);
  }
  $("matrix-head").replaceChildren(head);
  $("matrix-rows").replaceChildren(
    ...names.map((name) => {
      const row = element("tr", undefined, { tabindex: 0 });
      row.append(element("th", name, { scope: "row" }));
      for (let i = 0; i < names.length; i++) {
        const cell = element("td");
        cell.append(element("b"), element("i"));
        row.append(cell);
      }
      return row;
    }),
  );
}

// News

function ask(member) {
  shown.asked = member;
  question.abort(); // and another one is put at once
}

async function follow() {
  let failures = 0;
  while (true) {
    question = new AbortController();
    const parameters = new URLSearchParams();
    if (shown.asked) parameters.set("member", shown.asked);
    if (shown.state && !shown.gone) parameters.set("seen", shown.state.version);
    try {
      const answer = await fetch(`state?${parameters}`, { signal: question.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      shown.state = await answer.json();
      shown.gone = false;
      failures = 0;
    } catch (error) {
      if (error.name === "AbortError") continue;
      failures += 1;
      if (failures >= MOST_FAILURES && shown.state) {
        shown.gone = true;
        show();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
      continue;
    }
    if (shown.state.standing === "report") return location.replace("report");
    show();
  }
}

for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", () => setLanguage(button.dataset.language));
setLanguage(shown.language);
follow();
