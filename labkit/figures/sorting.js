// Tables that are sorted by a click on a heading: upwards, downwards, as they were. Of the HTML
// report and of JupyterLab.

const number = text => {
  const plain = text.replace("−", "-").replace(/(\d),(?=\d{3}\b)/g, "$1");
  return /^[^\w-]*-?[\d.]+/.test(plain) ? parseFloat(plain.replace(/^[^\d.-]+/, "")) : NaN;
};
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  const order = isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : x - y;
  return order || a.localeCompare(b);
};
function sorting(table) {
  const [body, heads] = [table.tBodies[0], [...table.tHead?.rows ?? []].at(-1)?.cells ?? []];
  const rows = [...body?.rows ?? []];
  const whole = rows.every(row => row.cells.length === heads.length
    && [...row.cells].every(cell => cell.colSpan === 1 && cell.rowSpan === 1));
  if (rows.length < 2 || !whole) return;
  [...heads].forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = {null: "ascending", ascending: "descending"}[head.getAttribute("aria-sort")];
      for (const other of heads) other.removeAttribute("aria-sort");
      const sorted = [...rows];
      if (next) {
        const sign = next === "ascending" ? 1 : -1;
        const text = row => row.cells[column].textContent.trim();
        sorted.sort((a, b) => sign * compare(text(a), text(b)));
        head.setAttribute("aria-sort", next);
      }
      body.append(...sorted);
    });
  });
}
