"use strict";
(() => {
  document.documentElement.classList.add("js");
  const table = document.getElementById("claims");
  const body = table.tBodies[0];
  const lines = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("en", { numeric: true });

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.textContent.trim();
  };
  const compare = (column, numeric, direction) => (a, b) => {
    const [left, right] = [valueOf(a, column), valueOf(b, column)];
    if (left === "" || right === "") return (left === "") - (right === "");
    return direction * (numeric ? left - right : collator.compare(left, right));
  };
  const sortBy = (header) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    lines.sort(compare(headers.indexOf(header), "numeric" in header.dataset, down ? -1 : 1));
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...lines);
  };
  headers.forEach((header) => header.querySelector("button").addEventListener("click", () => sortBy(header)));

  const text = document.getElementById("filter-text");
  const chapter = document.getElementById("filter-chapter");
  const verdict = document.getElementById("filter-verdict");
  const figures = [...document.querySelectorAll("#figures li")];
  const named = (element) => {
    const words = text.value.toLowerCase().split(/\s+/);
    const told = `${element.dataset.text} ${element.textContent}`.toLowerCase();
    return words.every((word) => told.includes(word));
  };
  const fits = (row) => {
    const wanted = verdict.value;
    return (
      named(row) &&
      (!chapter.value || row.dataset.chapter === chapter.value) &&
      (!wanted || row.dataset.verdict === wanted || (wanted === "otherwise" && row.matches(".unexpected")))
    );
  };
  const filter = () => {
    lines.forEach((row) => { row.hidden = !fits(row); });
    const shown = lines.filter((row) => !row.hidden).length;
    const drawn = figures.filter((figure) => named(figure));
    figures.forEach((figure) => { figure.hidden = !drawn.includes(figure); });
    const also = figures.length ? `, ${drawn.length} of ${figures.length} figures` : "";
    document.getElementById("shown").textContent = `${shown} of ${lines.length} claims${also}`;
    document.getElementById("nothing").hidden = shown > 0;
  };
  const form = text.form;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  const claims = [...document.querySelectorAll("details.claim")];
  const openAll = (open) => claims.forEach((claim) => { claim.open = open; });
  document.querySelectorAll("[data-open]").forEach((button) =>
    button.addEventListener("click", () => openAll(Boolean(button.dataset.open))));
  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const claim = target?.closest("details.claim");
    if (claim && !claim.open) {
      claim.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (event) => {
    // A link to where the address points already changes no hash, though its claim may have been closed since.
    if (event.target.closest('a[href^="#"]')?.hash === location.hash) openTarget();
  });
  addEventListener("beforeprint", () => openAll(true));
  openTarget();
})();
