// What all parts of the page share: its state, its words, and how the server is asked.

import { CLASSES } from "./class_names.js";
import { percentOf } from "./share.js";
import { WORDS } from "./words.js";

export const $ = (id) => document.getElementById(id);
export const state = {
  models: [],
  model: null, // the one that is chosen
  language: "en",
  tab: "try",
  picture: null, // what was asked about: its bytes, its label where it has one, whether it was drawn
  answers: [], // of each model that was asked: {model, answer}
  error: null,
  asked: 0,
  kind: null, // the cell of the matrix that is open
};

export const word = (name, values = {}) => WORDS[state.language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
export const className = (name) => CLASSES[state.language]?.[name] ?? name;
export const percent = (share, digits = 1) => percentOf(share, digits, state.language);
export const number = (n) => new Intl.NumberFormat(state.language).format(n);

export class ReadableError extends Error {} // its message is one of WORDS, or the server's own

export function keyOfServer() {
  try {
    return sessionStorage.getItem("key") ?? "";
  } catch {
    return ""; // forbidden in some private windows
  }
}

// Where the page finds a path of the server: beside itself, as a server in front may have put it below a path of its own.
export const beside = (path) => path.slice(1);

export async function ask(path, options = {}) {
  const key = keyOfServer();
  let response;
  try {
    response = await fetch(beside(path), { ...options, headers: { ...options.headers, ...(key && { "X-API-Key": key }) } });
  } catch {
    throw new ReadableError("offline");
  }
  if (response.ok) return response.json();
  if (response.status === 401) {
    $("key").hidden = false;
    $("key-value").focus();
  }
  const why = await response.json().then((body) => body.error, () => response.statusText);
  const known = { 401: key ? "wrongKey" : "key", 413: "tooLarge", 503: "busy" }[response.status];
  throw new ReadableError(known ?? (why.startsWith("the picture: a picture") ? "notPicture" : why));
}

// The address of a page for a frame, which can't say the key: a ticket opens it for a minute.
export async function framed(path, query = {}) {
  const given = new URLSearchParams(query);
  if (keyOfServer()) given.set("ticket", (await ask(`/ticket?${new URLSearchParams({ path: decodeURIComponent(path) })}`)).ticket);
  return given.size ? `${beside(path)}?${given}` : beside(path);
}

// Do some work, and show in the page what keeps it from being done.
export async function showingErrors(work) {
  try {
    state.error = null;
    showError();
    await work();
  } catch (error) {
    state.error = error instanceof ReadableError ? error.message : String(error);
    showError();
  }
}

// Where one looks: in the answer's place while trying, else above all.
export function showError() {
  const error = $("error");
  error.hidden = state.error === null || state.error === "key"; // the form that asks for the key says so itself
  if (state.error !== null) error.textContent = state.error in WORDS.en ? word(state.error) : word("failed", { why: state.error });
  const place = state.tab === "try" && $("key").hidden ? $("answer") : document.querySelector("main");
  if (error.parentElement !== place) place.prepend(error);
}

export function pngOf(uri) {
  const bytes = Uint8Array.from(atob(uri.split(",")[1]), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
