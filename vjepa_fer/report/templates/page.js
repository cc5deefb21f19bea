"use strict";
(() => {
  // What a chart's marks say. Each mark, or each point of a path, has a row in data-rows, a cell a line; the chart's data-head names the columns.
  const NEAR = 24;
  const tip = document.getElementById("tip");
  const words = (head, row) => row.map((cell, i) => (i && head[i] ? head[i] + " " + cell : cell)).filter(Boolean).join("\n");
  const headOf = (chart) => chart.dataset.head.split("\n");
  const rowsOf = (chart, element) => {
    const cells = element.dataset.rows.split("\n"), width = headOf(chart).length;
    return Array.from({ length: cells.length / width }, (_, i) => cells.slice(i * width, (i + 1) * width));
  };
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  const placesOf = (element) =>
    element.tagName === "path" ? [...element.getAttribute("d").matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)].map((m) => [+m[1], +m[2]]) : [middle(element.getBBox())];
  const marks = new WeakMap();
  const marksOf = (chart) => {
    if (!marks.has(chart)) marks.set(chart, [...chart.querySelectorAll("[data-rows]")].flatMap((element) => {
      const places = placesOf(element);
      return rowsOf(chart, element).map((row, i) => ({ row, element, at: places[i] }));
    }));
    return marks.get(chart);
  };
  const onScreen = (chart, [x, y]) => { const p = new DOMPoint(x, y).matrixTransform(chart.getScreenCTM()); return [p.x, p.y]; };

  const show = (chart, mark, x, y) => {
    tip.textContent = words(headOf(chart), mark.row);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - box.width - 8)) + "px";
    tip.style.top = (y + 16 + box.height > innerHeight ? Math.max(4, y - box.height - 8) : y + 16) + "px";
    ring(chart, mark);
  };
  const SVG = (document.querySelector("svg") || {}).namespaceURI;
  const ring = (chart, mark) => {
    document.querySelectorAll("svg .here").forEach((one) => one.remove());
    document.querySelectorAll("svg.lit").forEach((one) => one.classList.remove("lit"));
    document.querySelectorAll("path.on").forEach((one) => one.classList.remove("on"));
    if (!mark) return;
    const circle = document.createElementNS(SVG, "circle");
    circle.setAttribute("class", "here");
    for (const [name, value] of [["cx", mark.at[0]], ["cy", mark.at[1]], ["r", 8]]) circle.setAttribute(name, value);
    chart.append(circle);
    if (chart.classList.contains("points")) { chart.classList.add("lit"); mark.element.classList.add("on"); }
  };
  const hide = () => { tip.hidden = true; ring(null, null); };

  // A mouse or a finger: the mark that it is on, or the nearest; along a row of columns, the nearest column.
  const nearest = (chart, x, y) => {
    let best = null, least = Infinity;
    for (const mark of marksOf(chart)) {
      if (mark.element.tagName !== "path") continue;
      const [mx, my] = onScreen(chart, mark.at);
      const far = chart.dataset.by === "x" ? Math.abs(mx - x) : Math.hypot(mx - x, my - y);
      if (far < least) { least = far; best = mark; }
    }
    return least <= NEAR ? best : null;
  };
  for (const kind of ["pointermove", "pointerover", "pointerdown"])
    document.addEventListener(kind, (event) => {
      const chart = event.target.closest && event.target.closest("svg[data-head]");
      if (!chart) { hide(); return; }
      const own = event.target.closest("[data-rows]:not(path)");
      const mark = own ? marksOf(chart).find((one) => one.element === own) : nearest(chart, event.clientX, event.clientY);
      if (mark) show(chart, mark, event.clientX, event.clientY); else hide();
    });
  // The keyboard: a chart is one stop of the Tab key, and arrows go from mark to mark.
  const chosen = new WeakMap();
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  const walk = (chart, step) => {
    const all = marksOf(chart);
    if (!all.length) return;
    const number = Math.max(0, Math.min(all.length - 1, (chosen.get(chart) ?? 0) + step));
    chosen.set(chart, number);
    show(chart, all[number], ...onScreen(chart, all[number].at));
  };
  for (const chart of document.querySelectorAll("svg[data-head]")) {
    chart.addEventListener("focus", () => { if (chart.matches(":focus-visible")) walk(chart, 0); });
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS)) return;
      event.preventDefault();
      walk(chart, STEPS[event.key]);
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", () => { if (!document.activeElement.matches("svg[data-head]")) hide(); }, { passive: true });

  // The same as a table, made when it is asked for.
  const cell = (kind, text) => { const one = document.createElement(kind); one.textContent = text; if (kind === "th") one.scope = "col"; return one; };
  const fillTable = (details) => {
    const chart = details.previousElementSibling;
    if (details.querySelector("table") || !chart || !chart.dataset.head) return;
    const table = document.createElement("table"), top = table.createTHead().insertRow(), body = table.createTBody();
    top.append(...headOf(chart).map((name) => cell("th", name)));
    for (const mark of marksOf(chart)) body.insertRow().append(...mark.row.map((text) => cell("td", text)));
    const frame = document.createElement("div");
    frame.className = "scroll"; frame.tabIndex = 0; frame.setAttribute("role", "group"); frame.setAttribute("aria-label", chart.getAttribute("aria-label"));
    frame.append(table);
    details.append(frame);
  };
  for (const details of document.querySelectorAll("details.data")) details.addEventListener("toggle", () => fillTable(details));

  // The projection: names on hover, and the colours of class, subject, fold, or right and wrong.
  for (const figure of document.querySelectorAll("[data-points]")) {
    const data = JSON.parse(document.getElementById(figure.dataset.points).textContent);
    const chart = figure.querySelector("svg"), legend = figure.querySelector(".legend"), choice = figure.querySelector("select");
    const num = +figure.dataset.colours;
    const foldName = (f) => (data.folds && data.folds.length ? data.folds[f] : f);
    const folds = [...new Set(data.fold || [])].sort((a, b) => a - b);
    const said = () => (data.predicted ? data.predicted[choice ? +choice.value : 0] : null);
    const wrong = (i) => said() && data.true[i] !== said()[i];
    const kinds = {
      "class": { key: (i) => data.true[i], names: data.classes },
      subject: { key: (i) => data.subject[i], names: data.subjects.map((s) => s || "unknown") },
      fold: { key: (i) => folds.indexOf(data.fold[i]), names: folds.map((f) => "fold " + foldName(f)) },
      "right or wrong": { key: (i) => (wrong(i) ? 1 : 0), names: ["right", "wrong"], colours: ["calm", "bad"] },
      "what stands out": { key: (i) => data.mark[i], names: ["usual", "near-duplicate", "far"], colours: ["calm", "look", "bad"] },
    };
    const row = (i) => [data.clips[i], data.classes[data.true[i]], ...(said() ? [data.classes[said()[i]]] : []),
      data.subjects[data.subject[i]] || "unknown", ...(data.fold ? [foldName(data.fold[i])] : [])].join("\n");
    const path = (kind, number) => {
      const one = document.createElementNS(SVG, "path");
      one.setAttribute("class", kinds[kind].colours ? kinds[kind].colours[number] : "k" + (number % num));
      return one;
    };
    const paint = (kind) => {
      const { key, names } = kinds[kind];
      const shape = (number) => data.shapes[number % data.shapes.length];
      chart.replaceChildren();
      marks.delete(chart); chosen.delete(chart);
      names.forEach((name, number) => {
        const own = data.xy.map((_, i) => i).filter((i) => key(i) === number);
        if (!own.length) return;
        const one = path(kind, number);
        one.setAttribute("d", own.map((i) => "M" + data.xy[i][0] + " " + data.xy[i][1] + shape(number)).join(""));
        one.dataset.rows = own.map(row).join("\n");
        chart.append(one);
      });
      legend.replaceChildren();
      if (names.length > 30) { legend.textContent = names.length + " " + kind + "s: point at a mark for its name and all others of its " + kind; return; }
      names.forEach((name, number) => {
        const item = document.createElement("span"), mark = document.createElementNS(SVG, "svg"), one = path(kind, number);
        mark.setAttribute("viewBox", "-5 -5 10 10"); mark.setAttribute("aria-hidden", "true");
        one.setAttribute("d", "M0 0" + shape(number));
        mark.append(one);
        item.append(mark, name);
        legend.append(item);
      });
    };
    const pressed = () => figure.querySelector("button[aria-pressed=true]");
    for (const button of figure.querySelectorAll("button"))
      button.addEventListener("click", () => {
        for (const other of figure.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        paint(button.dataset.kind);
      });
    if (choice) choice.addEventListener("change", () => paint(pressed().dataset.kind));
    paint(pressed().dataset.kind);
  }

  // A table's heads sort it: up, then down.
  const worth = (row, column) => { const own = row.cells[column]; return own.dataset.v ?? own.textContent.trim(); };
  const order = (a, b) => (a === "" || a === "–" ? 1 : b === "" || b === "–" ? -1 : isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b);
  for (const table of document.querySelectorAll("table.sortable"))
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = head.querySelector("button");
      if (button) button.addEventListener("click", () => {
        const way = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way);
        const rows = [...table.tBodies[0].rows].sort((a, b) => (way === "ascending" ? 1 : -1) * order(worth(a, column), worth(b, column)));
        table.tBodies[0].append(...rows);
      });
    });

  // A link to what is folded opens it.
  const unfold = () => {
    const there = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = there && there.closest("details");
    if (folded && !folded.open) { folded.open = true; there.scrollIntoView(); }
  };
  addEventListener("hashchange", unfold);
  unfold();

  // Paper cannot be clicked: what is folded is printed open, and what marks say as tables.
  const folded = () => document.querySelectorAll("details:not([open]):not(.points-data)");
  let opened = [];
  addEventListener("beforeprint", () => { opened = [...folded()]; for (const one of opened) { one.open = true; if (one.matches(".data")) fillTable(one); } });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

  for (const button of document.querySelectorAll("button.copy"))
    button.addEventListener("click", async () => {
      const text = button.nextElementSibling.textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
      catch { getSelection().selectAllChildren(button.nextElementSibling); }
    });
})();
