"use strict";
// Texts reach the page by textContent only: what a metric is called can never become markup.
const byId = (id) => document.getElementById(id);
let key = "";
let cursor = null;

async function ask(path) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${key}` } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
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
  add(section, "p", names.length ? `Answering now: ${names.join(", ")}` : "No model is loaded yet.", "quiet");
}

function showSignal(signal) {
  const card = add(byId("signals"), "article", "", signal.severity);
  add(card, "p", signal.summary);
  const when = new Date(signal.started_at).toLocaleString();
  const model = signal.model ? ` · ${signal.model.name} v${signal.model.version}` : "";
  add(card, "small", `${signal.service} · ${signal.kind} · since ${when}${model}`);
}

// Alerts link here as #signal=<id>.
const wanted = new URLSearchParams(location.hash.slice(1)).get("signal");

async function showWanted() {
  if (!wanted) return;
  const page = await ask("/signals?id=" + encodeURIComponent(wanted));
  page.signals.forEach(showSignal);
  const details = add(byId("signals"), "pre", JSON.stringify(page.signals[0], null, 2));
  details.tabIndex = 0;
}

async function showSignals() {
  const page = await ask("/signals?stopped=false&limit=50" + (cursor ? `&cursor=${cursor}` : ""));
  page.signals.forEach(showSignal);
  cursor = page.next_cursor;
  byId("more").hidden = cursor === null;
  if (!byId("signals").children.length) add(byId("signals"), "p", "No signals: all is well, as far as can be told.");
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
    showModels((await ask("/models")).models);
  });
});
byId("more").addEventListener("click", () => guarded(showSignals));
