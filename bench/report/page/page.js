"use strict";
// Heads become buttons only where this runs: without it there is nothing that looks as if it sorted.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim() && column) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent || "row";
    if (head.hasAttribute("aria-label")) button.setAttribute("aria-label", head.getAttribute("aria-label"));
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("num") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const way = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [row, value(row.cells[column], head.classList.contains("num"))]);
      // Rows without a figure stay last either way.
      rows.sort(([, a], [, b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
      });
      body.append(...rows.map(([row]) => row));
    });
  });
}

function value(cell, number) {
  if (!number) return cell.textContent.trim();
  if (cell.hasAttribute("data-v")) return Number(cell.dataset.v);
  const text = cell.textContent.trim().replaceAll(",", "").replace("%", "");
  return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

// On paper everything is open, but for what nobody reads there.
const opened = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("#tables details:not([open])")) {
    details.open = true;
    opened.push(details);
  }
});
addEventListener("afterprint", () => opened.splice(0).forEach((details) => { details.open = false; }));
