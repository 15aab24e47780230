// Tables of class "sortable": a click on a heading sorts by that column, another click the other way round.
// A cell's data-value is what counts, where it has one; unknown values stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    head.dataset.name = head.textContent.trim();  // for print, where buttons are not repeated on each page
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.dataset.first === "falling");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const key = (row) => {
        const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
        return text === "" ? null : isNaN(text) ? text.toLowerCase() : Number(text);
      };
      const compare = (a, b) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return falling ? -order : order;
      };
      const body = table.tBodies[0];
      [...body.rows].map((row) => [key(row), row]).sort((a, b) => compare(a[0], b[0])).forEach(([, row]) => body.append(row));
    });
  });
}
