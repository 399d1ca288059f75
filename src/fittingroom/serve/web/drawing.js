// The drawing pad: it has the size of the model's images, and each stroke is answered while it is drawn.

import { classify, forget } from "./answer.js";
import { floodFill } from "./flood_fill.js";
import { $, state } from "./page.js";

const pen = { x: 14, y: 14, isDown: false, isAsking: false, hasChanged: false };
const isDark = () => state.model.background < 128;
const paper = () => (isDark() ? "#000" : "#fff");
const ink = () => (isDark() ? "#fff" : "#000");
let prepared = "";

// Another model's pad, where it draws otherwise; a drawing that it can take stays.
export function preparePad() {
  const wanted = [...state.model.image_size, isDark()].join();
  if (wanted === prepared) return;
  prepared = wanted;
  clearPad();
}

function clearPad() {
  const canvas = $("canvas");
  const [height, width] = state.model.image_size;
  Object.assign(canvas, { width, height });
  [pen.x, pen.y] = [width / 2, height / 2];
  const context = canvas.getContext("2d", { willReadFrequently: true }); // a fill reads it
  context.fillStyle = paper();
  context.fillRect(0, 0, width, height);
  $("pad-hint").hidden = false;
  $("pad-hint").style.color = ink();
  showPen();
}

function showPen() {
  const canvas = $("canvas");
  $("pen").style.left = `${(100 * pen.x) / canvas.width}%`;
  $("pen").style.top = `${(100 * pen.y) / canvas.height}%`;
}

function stroke(from, to, erase) {
  const context = $("canvas").getContext("2d");
  $("pad-hint").hidden = true;
  const scale = Math.max(...state.model.image_size) / 28;
  context.strokeStyle = erase ? paper() : ink();
  context.lineWidth = Number($("brush").value) * scale * (erase ? 1.6 : 1);
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}

function fill(point) {
  $("pad-hint").hidden = true;
  floodFill($("canvas").getContext("2d"), point, ink());
}

// One question at a time: what was drawn meanwhile is asked about when the answer is there.
async function askLive() {
  pen.hasChanged = true;
  if (pen.isAsking) return;
  pen.isAsking = true;
  while (pen.hasChanged) {
    pen.hasChanged = false;
    const live = pen.isDown;
    const blob = await new Promise((resolve) => $("canvas").toBlob(resolve, "image/png"));
    await classify(blob, { isDrawn: true, live });
  }
  pen.isAsking = false;
}

export function listenForDrawing() {
  const canvas = $("canvas");
  const tool = () => document.querySelector("[name=tool]:checked").value;
  const erases = () => tool() === "erase";
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * canvas.width, y: ((event.clientY - box.top) / box.height) * canvas.height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const point = place(event);
    if (tool() === "fill") {
      fill(point);
      Object.assign(pen, point);
      askLive();
      return;
    }
    stroke(point, point, erases());
    Object.assign(pen, point, { isDown: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pen.isDown) return;
    const point = place(event);
    stroke(pen, point, erases());
    Object.assign(pen, point);
    askLive();
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      if (!pen.isDown) return;
      pen.isDown = false;
      askLive();
    });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const key = event.key.toLowerCase();
    const marks = [" ", "x", "f"].includes(key);
    if ((!step && !marks) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (step) {
      pen.x = Math.min(canvas.width - 1, Math.max(0, pen.x + step[0]));
      pen.y = Math.min(canvas.height - 1, Math.max(0, pen.y + step[1]));
      showPen();
    } else {
      if (key === "f") fill(pen);
      else stroke(pen, pen, key === "x");
      askLive();
    }
  });
  $("clear").addEventListener("click", () => {
    clearPad();
    if (state.picture?.isDrawn) forget();
  });
}
