"use strict";
// The page sets texts by textContent only, so that the name of a metric can never become markup.
const byId = (id) => document.getElementById(id);
let key = "";
let cursor = null;

async function request(path) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${key}` } });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}

function add(parent, name, text, className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  element.className = className;
  parent.append(element);
  return element;
}

function showModels(models) {
  const section = byId("models");
  section.replaceChildren();
  const names = Object.entries(models).map(([kind, model]) => `${kind} v${model.version}`);
  add(section, "p", names.length ? `Active models: ${names.join(", ")}` : "No model is loaded yet.", "quiet");
}

function showSignal(signal) {
  const card = add(byId("signals"), "article", "", signal.ended_at ? "ended" : signal.severity);
  const title = add(card, "button", signal.summary, "title");
  title.setAttribute("aria-expanded", "false");
  title.addEventListener("click", () => guarded(() => toggle(card, title, signal.signal_id)));
  const moment = (text) => new Date(text).toLocaleString();
  const span = `since ${moment(signal.started_at)}` + (signal.ended_at ? `, ended at ${moment(signal.ended_at)}` : "");
  const model = signal.model ? ` · ${signal.model.name} v${signal.model.version}` : "";
  add(card, "small", `${signal.severity} · ${signal.service} · ${signal.kind.replace("_", " ")} · ${span}${model}`);
  return { card, title };
}

async function toggle(card, title, id) {
  const details = card.querySelector(".details");
  title.setAttribute("aria-expanded", String(!details));
  if (details) return details.remove();
  const page = await requestSignal(id);
  // A second click before the response arrived must not add the details twice.
  if (!card.querySelector(".details")) showDetails(card, page);
}

function requestSignal(id) {
  return request("/signals?id=" + encodeURIComponent(id));
}

function showDetails(card, page) {
  const shown = add(card, "div", "", "details");
  const list = add(shown, "dl", "");
  for (const [name, lines] of Object.entries(page.in_words)) {
    add(list, "dt", name);
    for (const line of lines) {
      const parent = add(list, "dd", "");
      if (/^https?:\/\//.test(line)) add(parent, "a", line).href = line;
      else parent.textContent = line;
    }
  }
  const raw = add(shown, "details", "");
  add(raw, "summary", "as JSON");
  add(raw, "pre", JSON.stringify(page.signals[0], null, 2)).tabIndex = 0;
}

// Alerts link here as #signal=<id>.
const wanted = new URLSearchParams(location.hash.slice(1)).get("signal");

async function showWanted() {
  if (!wanted) return;
  const page = await requestSignal(wanted);
  const { card, title } = showSignal(page.signals[0]);
  title.setAttribute("aria-expanded", "true");
  showDetails(card, page);
}

async function showSignals() {
  const page = await request("/signals?suppressed=false&limit=50" + (cursor ? `&cursor=${cursor}` : ""));
  page.signals.forEach(showSignal);
  cursor = page.next_cursor;
  byId("more").hidden = cursor === null;
  if (!byId("signals").children.length) add(byId("signals"), "p", "There are no signals.");
}

async function guarded(work) {
  try {
    byId("status").textContent = "";
    await work();
  } catch (error) {
    byId("status").textContent = error.message;
  }
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value;
  cursor = null;
  byId("signals").replaceChildren();
  guarded(async () => {
    await showWanted();
    await showSignals();
    showModels((await request("/models")).models);
  });
});
byId("more").addEventListener("click", () => guarded(showSignals));
