// A picture, by file, drop, paste or camera, and what the models say of it: one in full, or all side by side.

import { $, ReadableError, ask, className, element, number, percent, showError, showingErrors, state, word } from "./page.js";

const isOneColumn = () => matchMedia("(max-width: 56rem)").matches;

// `live`: while it is being drawn, without what takes longer.
export async function classify(blob, { truth = null, isDrawn = false, live = false } = {}) {
  const asked = ++state.asked;
  showPicture({ blob, truth, isDrawn });
  const card = $("answer");
  card.setAttribute("aria-busy", "true"); // a screen reader waits for the last answer of a drawing
  card.toggleAttribute("data-live", live);
  if (!state.answers.length) $("empty").textContent = word("waiting");

  const models = $("beside").checked ? state.models : [state.model];
  await showingErrors(async () => {
    const answers = await Promise.all(models.map((model) => answerOf(model, blob, !live && models.length === 1)));
    if (asked === state.asked) state.answers = answers; // else a newer picture is under way
  });
  if (asked !== state.asked) return;
  if (state.error !== null) state.answers = [];
  card.setAttribute("aria-busy", String(live));
  showAnswer();
  if (isOneColumn() && !isDrawn) card.scrollIntoView({ block: "start" });
}

async function answerOf(model, blob, explain) {
  const query = new URLSearchParams({ model: model.name, ...(explain && { explain: "1" }) });
  const answer = await ask(`/predict?${query}`, { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
  return { model, answer };
}

export function askAgain() {
  if (!state.picture) return undefined;
  const { blob, truth } = state.picture;
  return classify(blob, { truth, isDrawn: true }); // the reader stays where they are
}

export function forget() {
  ++state.asked;
  Object.assign(state, { answers: [], picture: null, error: null });
  $("answer").setAttribute("aria-busy", "false");
  showError();
  showAnswer();
}

// The picture as it came, beside what a model saw of it; of a file that this browser can't show there is none.
function showPicture(picture) {
  state.picture = picture;
  const image = $("original");
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.parentElement.hidden = false;
  image.src = URL.createObjectURL(picture.blob);
}

export function showAnswer() {
  const { answers, picture } = state;
  const isBeside = answers.length > 1;
  $("result").hidden = !answers.length;
  $("empty").hidden = Boolean(answers.length) || state.error !== null;
  $("single").hidden = isBeside;
  $("each").hidden = !isBeside;
  $("sticky").textContent = answers.map(headlineOf).join(" · ");
  if (!answers.length) {
    $("empty").textContent = word("empty");
    return;
  }
  $("label").hidden = !picture?.truth;
  if (picture?.truth) $("label").textContent = word("label", { truth: className(picture.truth) });
  $("original").alt = word("original");
  if (isBeside) showEach(answers, picture);
  else showOne(answers[0], picture);
}

const headlineOf = ({ answer }) => word("headline", { name: className(answer.class), share: percent(answer.probability) });

function showOne({ model, answer }, picture) {
  $("headline").textContent = headlineOf({ answer });
  markLabel($("label"), answer, picture);
  $("seen").src = answer.seen;
  $("seen").alt = word("seen");
  $("bars").replaceChildren(...answer.top.slice(0, 10).map(bar));
  const calibrated = model.calibrated_on;
  $("calibrated").textContent = word(calibrated ? "calibrated" : "notCalibrated", { n: number(calibrated) });
  showHeat();
  showOutOfDistribution($("ood"), answer);
}

function showEach(answers, picture) {
  const classes = new Set(answers.map(({ answer }) => answer.class));
  $("agreement").textContent = word(classes.size === 1 ? "agree" : "disagree", { n: number(answers.length) });
  markLabel($("label"), null, picture);
  $("cards").replaceChildren(
    ...answers.map(({ model, answer }) => {
      const headline = element("p", { className: "headline", textContent: headlineOf({ answer }) });
      const seen = element("img", { src: answer.seen, alt: word("seen") });
      const bars = element("ol", { className: "bars" }, ...answer.top.slice(0, 3).map(bar));
      const ood = element("p", { className: "ood" });
      showOutOfDistribution(ood, answer);
      return element("article", { className: "card" }, element("h3", { textContent: model.name }), headline, element("div", { className: "saw" }, seen, bars), ood);
    }),
  );
}

function markLabel(chip, answer, picture) {
  chip.classList.toggle("right", Boolean(answer && picture?.truth === answer.class));
  chip.classList.toggle("wrong", Boolean(answer && picture?.truth && picture.truth !== answer.class));
  if (answer && picture?.truth) chip.textContent = `${picture.truth === answer.class ? "✓" : "✗"} ${chip.textContent}`;
}

// `typical`: the share of validation images that are at least as strange as this one.
function showOutOfDistribution(text, { typical }) {
  const level = typical === null ? "noScale" : typical > 0.05 ? "usual" : typical > 0.01 ? "unusual" : "unlike";
  text.classList.toggle("unlike", level === "unlike" || level === "unusual");
  text.textContent = word(level, { share: percent(typical ?? 0, 0) });
}

function bar([name, probability]) {
  const line = element("span", { className: "line" });
  line.style.setProperty("--share", probability);
  return element("li", {}, element("span", { textContent: className(name) }), element("span", { textContent: percent(probability) }), line);
}

function showHeat() {
  const { answer } = state.answers[0];
  const rows = answer.occlusion; // none while it is being drawn
  const heat = $("heat");
  heat.hidden = !rows || !$("show-heat").checked;
  $("heat-text").textContent = "";
  if (!rows) return;
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
  const values = { name: className(answer.class), points: number(Math.round(100 * most)) };
  if ($("show-heat").checked) $("heat-text").textContent = word(most >= 0.01 ? "heat" : "noHeat", values);
}

// Ways in

function classifyFile(files) {
  const file = [...(files ?? [])].find((candidate) => candidate.type.startsWith("image/") || candidate.size > 0);
  if (file) classify(file);
  else showingErrors(async () => { throw new ReadableError("dropped"); });
}

export function listenForPictures() {
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
    location.hash = "#try";
    classifyFile(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    location.hash = "#try";
    classifyFile(event.clipboardData.files);
  });
  $("original").addEventListener("error", () => { $("original").parentElement.hidden = true; });
  $("show-heat").addEventListener("change", showHeat);
  $("beside").addEventListener("change", () => askAgain());
  listenForCamera();

  // On a phone the answer is above what is drawn: a line of it stays in view.
  new IntersectionObserver(([entry]) => $("sticky").classList.toggle("off", entry.isIntersecting)).observe($("answer-title"));
}

// A camera in the page where the browser has one to give, which takes a secure connection or this machine; else its own way.
function listenForCamera() {
  const video = $("video");
  const has = Boolean(navigator.mediaDevices?.getUserMedia);
  $("open-camera").hidden = !has;
  $("camera").parentElement.hidden = has;
  const stop = () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    $("viewfinder").hidden = true;
  };
  $("open-camera").addEventListener("click", () =>
    showingErrors(async () => {
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        throw new ReadableError("noCamera");
      }
      $("viewfinder").hidden = false;
      await video.play();
      $("shoot").focus();
    }),
  );
  $("shoot").addEventListener("click", () => {
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    stop();
    canvas.toBlob((blob) => classify(blob), "image/png");
  });
  $("close-camera").addEventListener("click", stop);
  window.addEventListener("hashchange", stop);
}
