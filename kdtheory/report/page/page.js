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
  const formula = (row) => document.getElementById(row.cells?.[1].dataset.value)?.querySelector(".formula").textContent;
  const told = new Map([...lines, ...figures].map((element) =>
    [element, `${element.dataset.text} ${element.textContent} ${formula(element) ?? ""}`.toLowerCase()]));
  const named = (element) => {
    const words = text.value.toLowerCase().split(/\s+/);
    return words.every((word) => told.get(element).includes(word));
  };
  const chosen = (row) => {
    const wanted = verdict.value;
    return (
      (!chapter.value || row.dataset.chapter === chapter.value) &&
      (!wanted || row.dataset.verdict === wanted || (wanted === "otherwise" && row.matches(".unexpected")))
    );
  };
  // What is chosen is in the address, so that it can be sent, and is there again when the page is.
  const fields = { search: text, chapter, verdict };
  const restore = () => {
    const asked = new URLSearchParams(location.search);
    Object.entries(fields).forEach(([name, field]) => {
      field.value = asked.get(name) ?? "";
      if (field.selectedIndex === -1) field.value = ""; // no such chapter or verdict on this page
    });
  };
  const remember = () => {
    const asked = new URLSearchParams(location.search);
    Object.entries(fields).forEach(([name, field]) => {
      if (field.value) asked.set(name, field.value);
      else asked.delete(name);
    });
    const query = asked.size ? `?${asked}` : "";
    try {
      history.replaceState(null, "", `${location.pathname}${query}${location.hash}`);
    } catch { /* a page within another, or asked too often: the filter works all the same */ }
  };
  const filter = () => {
    const within = lines.filter(chosen);
    const all = within.length === lines.length;
    lines.forEach((row) => { row.hidden = !(chosen(row) && named(row)); });
    const shown = lines.filter((row) => !row.hidden).length;
    const claims = new Set(within.map((row) => row.cells[1].dataset.value));
    const illustrates = (figure) => all || figure.dataset.claims.split(" ").some((name) => claims.has(name));
    const drawn = figures.filter((figure) => illustrates(figure) && named(figure));
    figures.forEach((figure) => { figure.hidden = !drawn.includes(figure); });
    const also = figures.length ? `, ${drawn.length} of ${figures.length} figures` : "";
    document.getElementById("shown").textContent = `${shown} of ${lines.length} claims${also}`;
    document.getElementById("nothing").hidden = shown > 0;
  };
  const form = text.form;
  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  restore();
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
