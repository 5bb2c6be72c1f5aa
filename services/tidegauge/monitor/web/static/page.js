// Local times, tables that fit, and renewal that keeps what is open, focused or typed.
"use strict";
(() => {
  const forms = {
    time: { hour: "2-digit", minute: "2-digit" },
    date: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  };

  function localTimes(root) {
    for (const item of root.querySelectorAll("time[data-form]")) {
      const then = new Date(item.dateTime);
      if (!Number.isNaN(then.valueOf())) {
        item.textContent = then.toLocaleString(undefined, forms[item.dataset.form] ?? forms.time);
      }
    }
  }

  // Names each cell by its column, for a table that is shown as a list; the roles keep it a table
  // for screen readers, which CSS's display would take from it.
  function nameCells(root) {
    for (const table of root.querySelectorAll(".scroll > table")) {
      const titles = [...(table.tHead?.rows[0]?.cells ?? [])].map((cell) => cell.textContent);
      table.setAttribute("role", "table");
      for (const row of table.rows) {
        row.setAttribute("role", "row");
        for (const cell of row.cells) {
          const heading = cell.scope === "col" ? "columnheader" : "rowheader";
          cell.setAttribute("role", cell.tagName === "TH" ? heading : "cell");
          const title = titles[cell.cellIndex];
          if (title && cell.tagName === "TD" && cell.colSpan === 1) cell.dataset.label = title;
        }
      }
    }
  }

  // Shows a table that is wider than its place as a list, an entry for each row.
  function fitTables() {
    const places = [...document.querySelectorAll(".scroll")];
    const top = scrollY; // a list is taller than its table: meanwhile the page may be too short
    for (const place of places) place.classList.remove("stacked");
    const wide = places.filter((place) => place.scrollWidth > place.clientWidth + 1);
    for (const place of wide) place.classList.add("stacked");
    if (scrollY !== top) scrollTo({ top, behavior: "instant" });
  }

  // What a reader may have opened, focused, scrolled or written into, by what it is called.
  function keyed(root) {
    const found = new Map();
    for (const item of root.querySelectorAll("details, summary, a, button, input, select, .scroll")) {
      const form = item.form?.querySelector("button")?.textContent ?? "";
      const name = item.id || item.name || item.getAttribute("href")
        || item.getAttribute("aria-label") || (item.querySelector("summary") ?? item).textContent;
      let n = 0;
      while (found.has(`${item.tagName} ${form} ${name} ${n}`)) n += 1;
      found.set(`${item.tagName} ${form} ${name} ${n}`, item);
    }
    return found;
  }

  // Puts a replacement in place, as open, focused, scrolled and filled in as what it replaces.
  function replace(before, after, put) {
    const fresh = keyed(after);
    const rest = [];
    for (const [key, item] of keyed(before)) {
      const next = fresh.get(key);
      if (!next) continue;
      if (item.open) next.open = true;
      if (item.defaultValue !== undefined && item.value !== item.defaultValue) next.value = item.value;
      if (item === document.activeElement) rest.push(() => next.focus({ preventScroll: true }));
      const left = item.scrollLeft;
      if (left) rest.push(() => { next.scrollLeft = left; });
    }
    put();
    for (const step of rest) step();
  }

  // Replaces what differs; an element that stays keeps its state.
  function swap(before, after) {
    const old = [...before.childNodes];
    const fresh = [...after.childNodes];
    if (old.length !== fresh.length || old.some((node, n) => node.nodeName !== fresh[n].nodeName)) {
      replace(before, after, () => before.replaceChildren(...fresh));
      return;
    }
    old.forEach((node, n) => renewNode(node, fresh[n]));
  }

  function renewNode(node, next) {
    if (node.isEqualNode(next)) return;
    if (node.nodeType !== Node.ELEMENT_NODE) {
      node.nodeValue = next.nodeValue;
      return;
    }
    if (node.matches("form")) return; // somebody may be writing into it
    if (node.matches("details")) next.open = node.open;
    if (node.matches(".stacked")) next.classList.add("stacked");
    if (node.cloneNode(false).isEqualNode(next.cloneNode(false))) {
      // A chart's attributes are all of it, and it is drawn already.
      if (!node.matches("figure[data-points]")) swap(node, next);
    } else replace(node, next, () => node.replaceWith(next));
  }

  async function renew() {
    if (document.hidden) return;
    const status = document.getElementById("status");
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(`the monitor answers ${answer.status}`);
      const found = new DOMParser().parseFromString(await answer.text(), "text/html");
      localTimes(found);
      nameCells(found);
      for (const id of ["main", "status"]) {
        const [before, after] = [document.getElementById(id), found.getElementById(id)];
        if (before && after) swap(before, after);
      }
      document.title = found.title;
      document.body.classList.remove("stale");
      fitTables();
      document.dispatchEvent(new Event("renewed"));
    } catch (error) {
      document.body.classList.add("stale");
      if (status) status.textContent = `not renewed: ${error.message}. What you see is old.`;
    }
  }

  localTimes(document);
  nameCells(document);
  fitTables();
  addEventListener("resize", fitTables);
  document.addEventListener("toggle", fitTables, true); // what was closed had no width
  const seconds = Number(document.body.dataset.renew ?? 0);
  if (seconds > 0) setInterval(renew, 1000 * seconds);
})();
