// The confusion matrix, whose cells open: each cell, and each image in it, has an address that can be sent.

import { classify } from "./answer.js";
import { $, ask, className, element, number, percent, pngOf, showingErrors, state, word } from "./page.js";

export const addressOf = (...parts) => "#" + parts.map((part) => encodeURIComponent(part)).join("/");

export function showMatrix() {
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

const headerCell = (textContent, scope) => element("th", { scope, textContent });

function matrixCell(truth, predicted, count, share) {
  if (truth === predicted) return element("td", { textContent: number(count), className: "right" });
  if (count === 0) return element("td", { textContent: "·", className: "none" });
  const link = element("a", { href: addressOf("mistakes", state.model.name, truth, predicted), textContent: number(count) });
  link.setAttribute("aria-label", word("cell", { truth: className(truth), predicted: className(predicted), n: number(count) }));
  link.style.setProperty("--share", Math.sqrt(share));
  if (state.kind?.truth === truth && state.kind.predicted === predicted) link.setAttribute("aria-current", "true");
  return element("td", {}, link);
}

// What an address names: a cell, and perhaps one of its images. Without a cell, the one with the most mistakes.
export function openKind(truth, predicted, row) {
  const { model } = state;
  if (!model.mistakes) return undefined;
  const { classes, confusion } = model;
  if (truth === undefined) [truth, predicted] = mostFrequent(classes, confusion);
  const count = confusion[classes.indexOf(truth)]?.[classes.indexOf(predicted)];
  if (!count || truth === predicted) {
    state.kind = null;
    showKind();
    showMatrix();
    return undefined;
  }
  const isOpen = state.kind?.model === model && state.kind.truth === truth && state.kind.predicted === predicted;
  const address = location.hash;
  return showingErrors(async () => {
    const query = new URLSearchParams({ truth, predicted });
    const images = isOpen ? state.kind.images : await ask(`/models/${encodeURIComponent(model.name)}/mistakes?${query}`);
    if (model !== state.model || location.hash !== address) return; // another model or cell was chosen since
    state.kind = { model, truth, predicted, count, images, row: row === undefined ? null : Number(row) };
    showKind();
    showMatrix();
    if (row !== undefined) $("one").scrollIntoView({ block: "nearest" });
    else if (location.hash.split("/").length > 2) $("kind").scrollIntoView({ block: "nearest" });
  });
}

function mostFrequent(classes, confusion) {
  let most = [0];
  confusion.forEach((counts, i) => counts.forEach((count, j) => { if (i !== j && count > most[0]) most = [count, classes[i], classes[j]]; }));
  return most.slice(1);
}

const nameOf = ({ file, row }) => file ?? word("row", { row: number(row) });

export function showKind() {
  const { kind } = state;
  const values = kind && { truth: className(kind.truth), predicted: className(kind.predicted), n: number(kind.count), shown: number(kind.images.length) };
  $("kind").textContent = kind ? word("kind", values) : "";
  $("kind-shown").textContent = kind && kind.images.length < kind.count ? word("kindShown", values) : "";
  $("wrong").replaceChildren(...(kind?.images ?? []).map(item));
  showOne();
}

function item(mistake) {
  const { kind } = state;
  const text = word("mistake", { name: nameOf(mistake), share: percent(mistake.probability) });
  const link = element("a", { href: addressOf("mistakes", kind.model.name, kind.truth, kind.predicted, mistake.row) });
  if (mistake.row === kind.row) link.setAttribute("aria-current", "true");
  if (mistake.image) link.append(element("img", { src: mistake.image, alt: "" }));
  link.append(element("span", { textContent: mistake.image ? text : `${text} · ${word("noImage")}` }));
  return element("li", {}, link);
}

// One image at large.
function showOne() {
  const { kind } = state;
  const mistake = kind?.images.find(({ row }) => row === kind.row);
  $("one").hidden = !kind || kind.row === null;
  if ($("one").hidden) return;
  $("one-text").textContent = mistake
    ? word("oneMistake", { truth: className(kind.truth), predicted: className(kind.predicted), share: percent(mistake.probability) })
    : word("notShown", { row: number(kind.row) });
  $("one-name").textContent = mistake ? nameOf(mistake) : "";
  $("one-image").hidden = $("try-one").hidden = !mistake?.image;
  if (!mistake?.image) return;
  $("one-image").src = mistake.image;
  $("one-image").alt = "";
  $("try-one").onclick = () => {
    location.hash = "#try";
    classify(pngOf(mistake.image), { truth: kind.truth });
  };
}
