// The page's part: a picture comes in by file, drop, paste, camera or pen, and its answer is shown. Nothing leaves it.

const $ = (id) => document.getElementById(id);
const model = openModel(JSON.parse($("try-model").textContent));
const shown = { language: "en", grid: null, original: null, error: null };
const MAX_PIXELS = 50_000_000;

// Words

const word = (name, values = {}) => WORDS[shown.language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const className = (name) => CLASSES[shown.language]?.[name] ?? name;
const percent = (share, digits = 1) => percentOf(share, digits, shown.language);
const count = (n) => n.toLocaleString(shown.language);

function setLanguage(language) {
  shown.language = language;
  $("try").lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of $("try").querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of $("try").querySelectorAll("[data-label]")) element.setAttribute("aria-label", word(element.dataset.label));
  showAnswer();
  showError();
}

// A picture

async function openBlob(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  } catch {
    return fail("notPicture");
  }
  if (bitmap.width * bitmap.height > MAX_PIXELS) return fail("tooLarge");
  openDrawable(bitmap, bitmap.width, bitmap.height);
}

function openDrawable(source, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  let pixels;
  try {
    pixels = context.getImageData(0, 0, width, height);
  } catch {
    return fail("tooLarge"); // for this browser's canvas
  }
  show(canvas, pixels);
}

function show(canvas, pixels) {
  shown.error = null;
  shown.original = canvas;
  shown.grid = see(model, pixels);
  showError();
  showAnswer();
}

function fail(name) {
  shown.error = name;
  shown.grid = null;
  showAnswer();
  showError();
}

// An answer

function showError() {
  $("try-error").hidden = shown.error === null;
  if (shown.error !== null) $("try-error").textContent = word(shown.error);
}

function showAnswer() {
  const { grid } = shown;
  $("try-result").hidden = !grid;
  $("try-empty").hidden = Boolean(grid) || shown.error !== null;
  if (!grid) return;

  const said = answer(model, grid.values);
  $("try-headline").textContent = word("headline", {
    name: className(model.classes[said.label]),
    share: percent(said.probabilities[said.label]),
  });
  drawSmall($("try-original"), shown.original);
  drawGrid($("try-seen"), grid);

  const order = said.probabilities.map((_, i) => i).sort((a, b) => said.probabilities[b] - said.probabilities[a]);
  $("try-bars").replaceChildren(...order.slice(0, 5).map((i) => bar(className(model.classes[i]), said.probabilities[i])));
  const n = model.calibratedOn;
  $("try-calibrated").textContent = word(n ? "calibrated" : "notCalibrated", { n: n && count(n) });

  const { typical } = said;
  const level = typical === null ? "noScale" : typical > 0.05 ? "usual" : typical > 0.01 ? "unusual" : "unlike";
  $("try-typical").classList.toggle("unlike", level === "unusual" || level === "unlike");
  $("try-typical").textContent = word(level, { share: percent(typical ?? 0, 0) });
}

function bar(name, probability) {
  const item = document.createElement("li");
  const parts = [name, percent(probability), ""].map((text) => Object.assign(document.createElement("span"), { textContent: text }));
  parts[2].className = "line";
  parts[2].style.setProperty("--share", probability);
  item.append(...parts);
  return item;
}

function drawSmall(canvas, source) {
  const scale = Math.min(1, 320 / Math.max(source.width, source.height));
  canvas.width = Math.max(1, Math.round(source.width * scale));
  canvas.height = Math.max(1, Math.round(source.height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
}

function drawGrid(canvas, { height, width, channels, values }) {
  Object.assign(canvas, { height, width });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let channel = 0; channel < 3; channel++) pixels.data[4 * i + channel] = values[i * channels + (channel % channels)];
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// From a file, the clipboard, the page itself, a camera

function openFiles(files) {
  const file = [...(files ?? [])].find(({ size }) => size > 0);
  return file ? openBlob(file) : fail("dropped");
}

function listenForPictures() {
  $("try-file").addEventListener("change", (event) => {
    openFiles(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("try-drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("try-drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("try-drop").classList.remove("over");
    openFiles(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) openFiles(event.clipboardData.files);
  });

  // The page's own pictures, where they are the images and not reduced ones.
  for (const image of document.querySelectorAll("img.tile")) {
    if (image.naturalWidth !== model.size[1] || image.naturalHeight !== model.size[0]) continue;
    image.classList.add("can-be-tried");
    image.addEventListener("click", () => {
      openDrawable(image, image.naturalWidth, image.naturalHeight);
      $("try").scrollIntoView({ block: "start" });
    });
  }
}

function listenForCamera() {
  const video = $("try-video");
  const stop = () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    $("try-viewfinder").hidden = true;
  };
  $("try-camera").hidden = !navigator.mediaDevices?.getUserMedia;
  $("try-camera").addEventListener("click", async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      return fail("noCamera");
    }
    $("try-viewfinder").hidden = false;
    await video.play();
  });
  $("try-shoot").addEventListener("click", () => {
    if (video.videoWidth) openDrawable(video, video.videoWidth, video.videoHeight);
    stop();
  });
  $("try-close").addEventListener("click", stop);
}

// The drawing pad: it has the model's size, so that what is drawn is what the model sees.

const pen = { x: 0, y: 0, isDown: false, isWaiting: false };
const isDark = [model.background].flat()[0] < 128;
const [PAPER, INK] = isDark ? ["#000", "#fff"] : ["#fff", "#000"];

function clearPad() {
  const pad = $("try-pad");
  [pad.height, pad.width] = model.size;
  [pen.x, pen.y] = [pad.width / 2, pad.height / 2];
  const context = pad.getContext("2d", { willReadFrequently: true });
  context.fillStyle = PAPER;
  context.fillRect(0, 0, pad.width, pad.height);
  $("try-pad-hint").hidden = false;
  $("try-pad-hint").style.color = INK;
  if (shown.original === pad) fail(null);
}

function mark(tool, from, to) {
  const context = $("try-pad").getContext("2d");
  $("try-pad-hint").hidden = true;
  if (tool === "fill") floodFill(context, to, INK);
  else stroke(context, from, to, tool === "erase");
  showDrawing();
}

function stroke(context, from, to, erases) {
  context.strokeStyle = erases ? PAPER : INK;
  context.lineWidth = (Number($("try-brush").value) * Math.min(...model.size)) / 28;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}

// Once a frame, however fast the pen is.
function showDrawing() {
  if (pen.isWaiting) return;
  pen.isWaiting = true;
  requestAnimationFrame(() => {
    pen.isWaiting = false;
    const pad = $("try-pad");
    show(pad, pad.getContext("2d").getImageData(0, 0, pad.width, pad.height));
  });
}

function listenForDrawing() {
  const pad = $("try-pad");
  if (model.channels === 3) {
    $("try-drawing").hidden = true; // a drawing is grey: a model of colours has seen nothing like it
    return;
  }
  const tool = () => $("try-tool").value;
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * pad.width, y: ((event.clientY - box.top) / box.height) * pad.height };
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    Object.assign(pen, place(event), { isDown: tool() !== "fill" });
    mark(tool(), pen, pen);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!pen.isDown) return;
    const point = place(event);
    mark(tool(), pen, point);
    Object.assign(pen, point);
  });
  for (const name of ["pointerup", "pointercancel"]) pad.addEventListener(name, () => (pen.isDown = false));

  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const marks = { " ": "paint", f: "fill", x: "erase" }[event.key.toLowerCase()];
    if ((!step && !marks) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (marks) return mark(marks, pen, pen);
    pen.x = Math.min(pad.width - 1, Math.max(0, pen.x + step[0]));
    pen.y = Math.min(pad.height - 1, Math.max(0, pen.y + step[1]));
    placeCursor();
  });
  pad.addEventListener("focus", placeCursor);
  $("try-clear").addEventListener("click", clearPad);
  clearPad();
}

function placeCursor() {
  const { style } = $("try-cursor");
  style.left = `${(100 * (pen.x + 0.5)) / model.size[1]}%`;
  style.top = `${(100 * (pen.y + 0.5)) / model.size[0]}%`;
}

// The start

listenForPictures();
listenForCamera();
listenForDrawing();

// The page's switch sets the language of the document.
const ofPage = () => setLanguage(document.documentElement.lang.startsWith("zh") ? "zh" : "en");
new MutationObserver(ofPage).observe(document.documentElement, { attributeFilter: ["lang"] });
ofPage();
$("try").hidden = false; // without a script there is nothing to try
window.fittingRoom = { model, see, answer };
