"use strict";
// Carries what is typed to Python (desk.py, in pyodide) and back what it says. report.js, which
// stands before it, has `find`, `findAll` and `make`, the contents, the search and the theme.

// ---- Python

const SERVE = "Serve this folder by a web server: run python3 -m http.server in it and open "
  + "http://localhost:8000";

async function load() {
  const {loadPyodide} = await import("./pyodide/pyodide.mjs");
  const pyodide = await loadPyodide();
  const answer = await fetch("labkit.zip");
  if (!answer.ok) throw new Error(`labkit.zip: ${answer.status}`);
  pyodide.unpackArchive(await answer.arrayBuffer(), "zip");
  return pyodide.pyimport("labkit.site.desk");
}

const say = (text, state) => {
  find("#status").textContent = text;
  find("#status").dataset.state = state;
};
say("The checker is loading. The questions can be read meanwhile.", "loading");
const desk = load().catch(error => {
  throw new Error(location.protocol === "file:"
    ? `The checker cannot be loaded from a file. ${SERVE}`
    : `The checker could not be loaded (${error.message}). Reload the page in a current browser. ${SERVE}`);
});
desk.then(
  () => say("The checker is ready. It runs in this browser; no answer leaves it.", "ready"),
  error => say(error.message, "failed"),
);

async function ask(name, ...args) {
  return JSON.parse((await desk).call(name, JSON.stringify(args)));
}

function tell(place, ...lines) {
  place.replaceChildren(...lines.filter(Boolean).map(text => make("p", {textContent: text})));
}
// what fails in an action is said where its outcome would stand
const saying = (place, action) => () => action().catch(error => tell(place, error.message));

// ---- what is kept in this browser

const KEPT = "labkit-hand-calculation";
const kept = {answers: {}, exercises: null};
try { Object.assign(kept, JSON.parse(localStorage.getItem(KEPT))); } catch { /* never kept */ }
function keep() {
  try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* for this visit only */ }
}

// ---- answers

const inputs = form => findAll("fieldset input", form);
const isChoice = form => inputs(form)[0].type === "radio";
const cells = form => isChoice(form)
  ? [inputs(form).find(input => input.checked)?.value ?? ""]
  : inputs(form).map(input => input.value);

function fill(form, values) {
  inputs(form).forEach((input, i) => {
    if (isChoice(form)) input.checked = input.value === values[0];
    else {
      input.value = values[i] ?? "";
      mark(input, "");
    }
  });
  tell(find(".verdict", form));
}
function fillAll(from = document) {
  for (const form of findAll("form.answer", from)) {
    fill(form, kept.answers[form.dataset.task] ?? []);
  }
}

function mark(input, sign) {
  const wrong = sign === "✗" || sign === "?";
  input.closest(".cell").dataset.sign = sign;
  find(".sign", input.closest(".cell")).textContent = sign;
  if (wrong) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

async function check(form) {
  const verdict = find(".verdict", form);
  delete verdict.dataset.right;
  tell(verdict, "The checker is loading …");
  const reply = await ask("judged", form.dataset.task, cells(form));
  tell(verdict, reply.sentence, reply.hint);
  if (!isChoice(form)) inputs(form).forEach((input, i) => mark(input, reply.signs[i]));
  if (!reply.answered) return;
  verdict.dataset.right = reply.right;
  find(".show", form).hidden = false;
}

async function showWorking(form) {
  const [button, place] = [find(".show", form), find(".working", form)];
  place.hidden = !place.hidden;
  button.setAttribute("aria-expanded", String(!place.hidden));
  button.textContent = `${place.hidden ? "Show" : "Hide"} the working`;
  if (place.hidden || place.childElementCount) return;
  const {steps, lines} = await ask("working", form.dataset.task);
  tell(place, ...lines);
  if (!steps) return;
  const [way, slider] = [make("div", {className: "way"}), make("input", {type: "range"})];
  const [count, shown] = [make("output"), make("div", {className: "step"})];
  Object.assign(slider, {min: 1, max: steps, value: 1, ariaLabel: "step"});
  const show = async () => {
    count.value = `${slider.value} of ${steps}`;
    shown.innerHTML = await ask("step_of", form.dataset.task, Number(slider.value));
  };
  slider.addEventListener("input", show);
  way.append(slider, count);
  place.append(way, shown);
  await show();
}

// Enter and the arrows lead from cell to cell; Enter behind the last one checks.
function move(event) {
  const form = event.target.closest("form.answer");
  if (!form || event.target.type !== "text") return;
  const all = inputs(form);
  const [at, width] = [all.indexOf(event.target), findAll("input", event.target.closest(".row")).length];
  const {selectionStart, selectionEnd, value} = event.target;
  const whole = selectionStart === 0 && selectionEnd === value.length;
  const atStart = whole || selectionEnd === 0;
  const atEnd = whole || selectionStart === value.length;
  const next = {
    Enter: all[at + 1],
    ArrowDown: all[at + width],
    ArrowUp: all[at - width],
    ArrowRight: atEnd ? all[at + 1] : null,
    ArrowLeft: atStart ? all[at - 1] : null,
  }[event.key];
  if (!next || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  next.focus();
  next.select();
}

document.addEventListener("keydown", move);
document.addEventListener("submit", event => {
  event.preventDefault();
  const form = event.target;
  if (form.matches("form.answer")) saying(find(".verdict", form), () => check(form))();
});
document.addEventListener("click", event => {
  if (!event.target.matches("button.show")) return;
  const {form} = event.target;
  saying(find(".working", form), () => showWorking(form))();
});
document.addEventListener("input", event => {
  const form = event.target.closest("form.answer");
  if (!form || event.target.type === "range") return;
  if (!isChoice(form)) mark(event.target, "");
  kept.answers[form.dataset.task] = cells(form);
  keep();
});

// ---- a calculation of one's own

function stepper() {
  const form = find("#stepper form");
  const [slider, count] = [find("[type=range]", form), find("output", form)];
  const [shown, message] = [find("#stepper .step"), find("#stepper .verdict")];
  const show = saying(message, async () => {
    const reply = await ask("step", Object.fromEntries(new FormData(form)), Number(slider.value));
    for (const field of findAll("[name]", form)) {
      field.closest("label").hidden = reply.unused.includes(field.name);
    }
    tell(message, reply.message);
    shown.innerHTML = reply.html;
    slider.disabled = !reply.steps;
    if (!reply.steps) return;
    Object.assign(slider, {max: reply.steps, value: reply.number});
    count.value = `${reply.number} of ${reply.steps}`;
  });
  form.addEventListener("input", show);
  show();
}

// ---- exercises

function exercises() {
  const [form, place, message] = [find("#exercises form"), find("#drawn"), find("#exercises .verdict")];
  const show = saying(message, async () => {
    const chosen = Object.fromEntries(new FormData(form));
    const reply = await ask("drawn", chosen.kind, chosen.level, chosen.seed, chosen.count);
    tell(message, reply.message);
    place.innerHTML = reply.html;
    fillAll(place);
    kept.exercises = chosen;
    keep();
  });
  form.addEventListener("submit", show);
  if (!kept.exercises) return;
  for (const [name, value] of Object.entries(kept.exercises)) form.elements[name].value = value;
  show();
}

// ---- answer sheets

function sheets() {
  const [file, message] = [find("#sheet-file"), find("#sheet .verdict")];
  find("#sheet-save").addEventListener("click", saying(message, async () => {
    const text = await ask("sheet", kept.answers);
    const address = URL.createObjectURL(new Blob([text], {type: "application/yaml"}));
    make("a", {href: address, download: "answers.yaml"}).click();
  }));
  find("#sheet-load").addEventListener("click", () => file.click());
  file.addEventListener("change", saying(message, async () => {
    const {answers, problems} = await ask("read_sheet", await file.files[0].text());
    file.value = "";
    Object.assign(kept.answers, answers);
    keep();
    fillAll();
    const taken = Object.keys(answers).length;
    tell(message, `${taken} ${taken === 1 ? "answer" : "answers"} taken over.`, ...problems);
  }));
  find("#sheet-clear").addEventListener("click", () => {
    if (!confirm("Remove every answer from this page?")) return;
    kept.answers = {};
    keep();
    fillAll();
  });
}

fillAll();
stepper();
exercises();
sheets();
