"use strict";
// What can be done with the HTML report. Without this script everything in it can still be read.

const root = document.documentElement;
const find = (selector, from = document) => from.querySelector(selector);
const findAll = (selector, from = document) => [...from.querySelectorAll(selector)];
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// ---- dark or light: before the page is drawn, so that it does not flash

const THEME = "labkit-theme";
const remembered = () => {
  try { return localStorage.getItem(THEME); } catch { return null; } // a browser may forbid it
};
if (remembered()) root.dataset.theme = remembered();
root.classList.add("scripted");

function theme() {
  const isDark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  find("#theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem(THEME, root.dataset.theme); } catch { /* for this visit only */ }
  });
}

// ---- contents

function contents() {
  const drawer = find("#contents");
  const narrow = matchMedia("(max-width: 62rem)");
  const fit = () => { drawer.open = !narrow.matches; };
  fit();
  narrow.addEventListener("change", fit);
  drawer.addEventListener("click", event => { if (event.target.closest("a")) fit(); });

  const links = findAll("a", drawer);
  const targets = links.map(link => document.getElementById(link.hash.slice(1)));
  let last = null;
  const mark = () => {
    const line = innerHeight * 0.25;
    let index = targets.findLastIndex(target => target && target.getBoundingClientRect().top < line);
    if (links[index] === last) return;
    findAll(".current", drawer).forEach(item => item.classList.remove("current"));
    last?.removeAttribute("aria-current");
    last = links[index] ?? null;
    if (!last) return;
    last.setAttribute("aria-current", "location");
    for (let item = last.closest("li"); item; item = item.parentElement.closest("li")) {
      item.classList.add("current");
    }
    if (!narrow.matches) {
      const [box, line] = [drawer.getBoundingClientRect(), last.getBoundingClientRect()];
      if (line.top < box.top || line.bottom > box.bottom) drawer.scrollTop += line.top - box.top - 80;
    }
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, {passive: true});
  mark();
}

// ---- links into what is folded

function open(element) {
  for (let it = element; it; it = it.parentElement) if (it.tagName === "DETAILS") it.open = true;
}
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  open(target);
  target.scrollIntoView();
}

// ---- search

function search() {
  const [box, hits, main] = [find("#search"), find("#hits"), find("main")];
  let marks = [], here = -1, waiting;
  const clear = () => {
    for (const mark of marks) {
      const parent = mark.parentNode;
      mark.replaceWith(mark.textContent);
      parent.normalize();
    }
    [marks, here] = [[], -1];
  };
  const texts = () => {
    const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT, node =>
      node.parentElement.closest("math, svg, dialog")
        ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
    const found = [];
    while (walker.nextNode()) found.push(walker.currentNode);
    return found;
  };
  const look = () => {
    clear();
    const words = box.value.trim().toLowerCase();
    for (const text of words.length > 1 ? texts() : []) {
      const places = [];
      const lower = text.data.toLowerCase();
      for (let at = lower.indexOf(words); at >= 0; at = lower.indexOf(words, at + words.length)) {
        places.push(at);
      }
      const found = places.reverse().map(at => {  // from the end, so that places stay right
        const hit = text.splitText(at);
        hit.splitText(words.length);
        const mark = make("mark");
        hit.replaceWith(mark);
        mark.append(hit);
        return mark;
      });
      marks.push(...found.reverse());
    }
    hits.value = words.length > 1 ? `${marks.length}` : "";
  };
  const jump = step => {
    if (!marks.length) return;
    marks[here]?.classList.remove("current");
    here = (here + step + marks.length) % marks.length;
    marks[here].classList.add("current");
    open(marks[here]);
    marks[here].scrollIntoView({block: "center"});
    hits.value = `${here + 1} / ${marks.length}`;
  };
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { waiting = null; look(); }, 150);
  });
  box.addEventListener("keydown", event => {
    if (event.key === "Escape") {
      box.value = "";
      look();
      box.blur();
    } else if (event.key === "Enter") {
      if (waiting) {
        clearTimeout(waiting);
        waiting = null;
        look();
      }
      if (here < 0 && event.shiftKey) here = 0;
      jump(event.shiftKey ? -1 : 1);
    }
  });
  addEventListener("keydown", event => {
    const typing = event.target.closest?.("input, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      box.select();
    }
  });
}

// ---- a figure alone on the screen

function zoom() {
  const picture = make("img");
  const button = (text, label, action) => {
    const made = make("button", {type: "button", textContent: text, ariaLabel: label, title: label});
    made.addEventListener("click", action);
    return made;
  };
  let [x, y, scale] = [0, 0, 1];
  const place = () => { picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`; };
  const reset = () => { [x, y, scale] = [0, 0, 1]; place(); };
  const grow = (factor, atX = innerWidth / 2, atY = innerHeight / 2) => {
    const next = Math.min(40, Math.max(0.5, scale * factor));
    x = atX - (atX - x) * next / scale;  // what is under the pointer stays there
    y = atY - (atY - y) * next / scale;
    scale = next;
    place();
  };
  const dialog = make("dialog", {ariaLabel: "Figure"},
    make("div", {},
      button("−", "Smaller", () => grow(1 / 1.4)), button("+", "Larger", () => grow(1.4)),
      button("Fit", "Whole figure", reset), button("×", "Close", () => dialog.close())),
    picture);
  document.body.append(dialog);
  dialog.addEventListener("wheel", event => {
    event.preventDefault();
    grow(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, {passive: false});
  dialog.addEventListener("keydown", event => {
    const steps = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]};
    if (event.key === "+" || event.key === "=") grow(1.4);
    else if (event.key === "-") grow(1 / 1.4);
    else if (event.key === "0") reset();
    else if (steps[event.key]) {
      x += steps[event.key][0];
      y += steps[event.key][1];
      place();
    }
  });
  picture.addEventListener("dragstart", event => event.preventDefault());
  picture.addEventListener("pointerdown", event => picture.setPointerCapture(event.pointerId));
  picture.addEventListener("pointermove", event => {
    if (!picture.hasPointerCapture(event.pointerId)) return;
    x += event.movementX;
    y += event.movementY;
    place();
  });
  for (const image of findAll("main img[src]")) {
    const show = () => {
      Object.assign(picture, {src: image.src, alt: image.alt});
      reset();
      dialog.showModal();
    };
    Object.assign(image, {tabIndex: 0, role: "button", title: "Show on the whole screen"});
    image.addEventListener("click", show);
    image.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      show();
    });
  }
}

// ---- curves of a run, from the table of its history

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [360, 210, 44, 26];

function curves(run) {
  const table = find(".history table", run);
  if (!table || find(".curves", run)) return;
  const heads = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
  const rows = [...table.tBodies[0].rows].map(
    row => [...row.cells].map(cell => cell.textContent === "" ? NaN : Number(cell.textContent)));
  const x = heads.indexOf("epoch");
  if (x < 0) return;
  const groups = ["loss", "accuracy", "cer", "wer"]
    .map(kind => [kind, heads.flatMap((head, i) => head.endsWith(" " + kind) ? [i] : [])])
    .filter(([, columns]) => columns.length);
  const charts = groups.map(([kind, columns]) => chart(kind, heads, rows, x, columns));
  find(".history", run).before(make("div", {className: "curves"}, ...charts));
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(factor => factor * size >= rough) * size;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({length: last - first + 1}, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function chart(kind, heads, rows, x, columns) {
  const span = values => {
    const real = values.filter(Number.isFinite);
    const [low, high] = [Math.min(...real), Math.max(...real)];
    return low < high ? [low, high] : [low - 0.5, high + 0.5];
  };
  const [left, right] = span(rows.map(row => row[x]));
  const [low, high] = span(rows.flatMap(row => columns.map(column => row[column])));
  const toX = value => LEFT + (value - left) / (right - left) * (WIDTH - LEFT - 8);
  const toY = value => HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - 10);

  const picture = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, tabindex: 0, role: "img",
    "aria-label": `${kind} by epoch; arrow keys read the values`,
  });
  for (const value of ticks(low, high, 4)) {
    picture.append(
      draw("line", {class: "axis", x1: LEFT, x2: WIDTH - 8, y1: toY(value), y2: toY(value)}),
      draw("text", {x: LEFT - 6, y: toY(value) + 4, "text-anchor": "end"}, String(value)));
  }
  for (const value of rows.length > 1 ? ticks(left, right, 5) : [rows[0][x]]) {
    picture.append(draw("text",
      {x: toX(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle"}, String(value)));
  }
  columns.forEach((column, i) => {
    const points = rows.filter(row => Number.isFinite(row[column]))
      .map(row => `${toX(row[x]).toFixed(1)} ${toY(row[column]).toFixed(1)}`);
    if (!points.length) return;
    const dot = points.length === 1;  // a line without length, with round ends
    picture.append(draw("path", {
      class: `curve-${i}${dot ? " dot" : ""}`, d: `M${points.join("L")}${dot ? "h0.01" : ""}`,
    }));
  });
  const here = draw("line", {class: "here", y1: 10, y2: HEIGHT - BOTTOM, visibility: "hidden"});
  picture.append(here);

  const caption = make("figcaption");
  caption.ariaLive = "polite";
  let chosen = rows.length - 1;
  const tell = () => caption.replaceChildren(
    `${kind}, epoch ${rows[chosen][x]}: `,
    ...columns.map((column, i) => make("span", {}, make("b", {className: `curve-${i}`}),
      `${heads[column].slice(0, -kind.length - 1)} ${Number(rows[chosen][column].toPrecision(4))}`)));
  const choose = index => {
    chosen = Math.min(rows.length - 1, Math.max(0, index));
    const at = toX(rows[chosen][x]);
    for (const [name, value] of [["x1", at], ["x2", at], ["visibility", "visible"]]) {
      here.setAttribute(name, value);
    }
    tell();
  };
  picture.addEventListener("pointermove", event => {
    const box = picture.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * WIDTH;
    const distances = rows.map(row => Math.abs(toX(row[x]) - at));
    choose(distances.indexOf(Math.min(...distances)));
  });
  picture.addEventListener("pointerleave", () => here.setAttribute("visibility", "hidden"));
  picture.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    choose(chosen + step);
  });
  tell();
  return make("figure", {}, picture, caption);
}

// ---- all of it

addEventListener("DOMContentLoaded", () => {
  theme();
  contents();
  search();
  zoom();
  findAll("main table").forEach(sorting);
  for (const run of findAll(".run")) {
    run.addEventListener("toggle", () => { if (run.open) curves(run); });
  }
  addEventListener("hashchange", follow);
  // a click on a link to what is already shown changes no hash
  document.addEventListener("click", event => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.hash === location.hash) follow();
  });
  follow();
});
