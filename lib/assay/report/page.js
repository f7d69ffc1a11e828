"use strict";
// Filter, sort, links into closed parts, and what lies under the pointer in a heatmap. The page is complete without it.
(() => {
  const form = document.getElementById("filter");
  const rows = [...document.querySelectorAll("#matrix tr[data-claim]")];
  const wanted = () => Object.fromEntries(new FormData(form));

  function show() {
    const { words, model, verdict, paper } = wanted();
    const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const row of rows) {
      const cells = [...row.querySelectorAll("td[data-model]")].filter((cell) => !model || cell.dataset.model === model);
      const said = row.querySelector("th").textContent.toLowerCase();
      const fits = parts.every((part) => said.includes(part)) && (!paper || row.parentElement.dataset.paper === paper)
        && (!model || cells.some((cell) => cell.dataset.verdict)) && (!verdict || cells.some((cell) => cell.dataset.verdict === verdict));
      row.hidden = !fits;
      n += fits;
    }
    for (const cell of document.querySelectorAll("#matrix [data-model]")) cell.hidden = Boolean(model) && cell.dataset.model !== model;
    for (const body of document.querySelectorAll("#matrix tbody")) body.hidden = ![...body.querySelectorAll("tr[data-claim]")].some((row) => !row.hidden);
    document.getElementById("shown").textContent = `${n} of ${rows.length} claims`;
    const kept = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", (kept.size ? `?${kept}` : location.pathname) + location.hash);
  }

  function sortBy(button) {
    const order = ["yes", "undecided", "no", "not eligible", "not run", ""];
    const pressed = button.getAttribute("aria-pressed") === "true";
    for (const other of document.querySelectorAll("[data-sort]")) other.setAttribute("aria-pressed", String(other === button && !pressed));
    const rank = (row) => order.indexOf(row.querySelector(`td[data-model="${CSS.escape(button.dataset.sort)}"]`).dataset.verdict);
    for (const body of document.querySelectorAll("#matrix tbody")) {
      const own = rows.filter((row) => row.parentElement === body);
      const sorted = pressed ? own : [...own].sort((a, b) => rank(a) - rank(b));
      body.append(...sorted);
    }
  }

  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    target.scrollIntoView();
  }

  if (form) {
    for (const [name, value] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = value;
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortBy(button));
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) {
        event.preventDefault();
        form.elements.words.focus();
      } else if (event.key === "Escape" && document.activeElement === form.elements.words) {
        form.reset();
        show();
      }
    });
    show();
  }
  addEventListener("hashchange", open);
  open();

  // Cells of heatmaps: where the panels lie in the picture is known, so the picture stays a plain file for print.
  const pictures = JSON.parse(document.getElementById("cells").textContent);
  const tip = document.getElementById("tip");
  const number = (value) => (Math.abs(value) < 1e-9 ? "0" : String(Number(value.toPrecision(3))));

  function under(picture, x, y) {
    for (const panel of picture.panels) {
      const [left, top, width, height] = panel.box;
      const u = (x - left) / width, v = (y - top) / height;
      if (u < 0 || u >= 1 || v < 0 || v >= 1) continue;
      const n = panel.values.length, column = Math.floor(u * panel.values[0].length);
      const row = panel.upwards ? n - 1 - Math.floor(v * n) : Math.floor(v * n);
      return { panel, row, column };
    }
    return null;
  }

  function say(picture, { panel, row, column }, at) {
    const value = panel.values[row][column], control = panel.control && panel.control[row][column];
    const names = [panel.names[0][row], panel.names[1][column]];
    const place = panel.named ? names.join(", ") : `${picture.y} ${names[0]}, ${picture.x} ${names[1]}`;
    tip.textContent = `${panel.model}: ${place}: ` + (value === null ? "not measured" : number(value))
      + (control === null || control === undefined ? "" : `, control ${number(control)}`) + (panel.n ? `, n ${panel.n}` : "");
    tip.hidden = false;
    tip.style.left = `${Math.min(at.x + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(at.y + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }

  for (const image of document.querySelectorAll("img[data-cells]")) {
    const picture = pictures[image.dataset.cells];
    let at = null;
    image.addEventListener("mousemove", (event) => {
      const box = image.getBoundingClientRect();
      const found = under(picture, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      if (found) say(picture, found, { x: event.clientX, y: event.clientY });
      else tip.hidden = true;
    });
    image.addEventListener("mouseleave", () => { tip.hidden = true; });
    image.addEventListener("blur", () => { tip.hidden = true; });
    image.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      at ??= { panel: picture.panels[0], row: 0, column: -1 };
      const { values, upwards } = at.panel;
      let row = at.row + (upwards ? step[0] : -step[0]), column = at.column + step[1], which = picture.panels.indexOf(at.panel);
      if (column >= values[0].length && which + 1 < picture.panels.length) [which, column] = [which + 1, 0];
      if (column < 0 && which > 0) [which, column] = [which - 1, picture.panels[which - 1].values[0].length - 1];
      const panel = picture.panels[which];
      at = { panel, row: Math.max(0, Math.min(panel.values.length - 1, row)), column: Math.max(0, Math.min(panel.values[0].length - 1, column)) };
      const box = image.getBoundingClientRect();
      say(picture, at, { x: box.left + box.width * panel.box[0], y: box.top });
    });
  }
})();
