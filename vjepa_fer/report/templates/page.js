"use strict";
(() => {
  // One tooltip for everything that has data-tip; for a finger as for a mouse and the keyboard.
  const tip = document.getElementById("tip");
  const show = (mark, x, y) => {
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - box.width - 8)) + "px";
    tip.style.top = (y + 16 + box.height > innerHeight ? Math.max(4, y - box.height - 8) : y + 16) + "px";
  };
  const hide = () => { tip.hidden = true; };
  const marked = (event) => event.target.closest && event.target.closest("[data-tip]");
  for (const kind of ["pointermove", "pointerover", "pointerdown"])
    document.addEventListener(kind, (event) => {
      const mark = marked(event);
      if (mark) show(mark, event.clientX, event.clientY); else hide();
    });
  document.addEventListener("focusin", (event) => {
    const mark = marked(event);
    if (!mark) return;
    const box = mark.getBoundingClientRect();
    show(mark, box.right, box.bottom);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", hide, { passive: true });

  // The projection: names on hover, and the colours of class, subject, fold, or right and wrong.
  for (const chart of document.querySelectorAll("[data-points]")) {
    const data = JSON.parse(document.getElementById(chart.dataset.points).textContent);
    const circles = [...chart.querySelectorAll("circle")];
    const legend = chart.querySelector(".legend");
    const foldName = (f) => (data.folds && data.folds.length ? data.folds[f] : f);
    const folds = [...new Set(data.fold || [])].sort((a, b) => a - b);
    const wrong = (i) => data.predicted && data.true[i] !== data.predicted[i];
    const kinds = {
      "class": { key: (i) => data.true[i], names: data.classes },
      subject: { key: (i) => data.subject[i], names: data.subjects.map((s) => s || "unknown") },
      fold: { key: (i) => folds.indexOf(data.fold[i]), names: folds.map((f) => "fold " + foldName(f)) },
      "right or wrong": { key: (i) => (wrong(i) ? 1 : 0), names: ["right", "wrong"], colours: ["--calm", "--bad"] },
      "what stands out": { key: (i) => data.mark[i], names: ["usual", "near-duplicate", "far"], colours: ["--calm", "--look", "--bad"] },
    };
    circles.forEach((circle, i) => {
      circle.dataset.tip = data.clips[i] + "\n" + data.classes[data.true[i]] + (wrong(i) ? ", taken for " + data.classes[data.predicted[i]] : "")
        + "\nsubject " + (data.subjects[data.subject[i]] || "unknown") + (data.fold ? ", fold " + foldName(data.fold[i]) : "");
    });
    const hue = (number) => Math.floor(number * 137.508) % 360;
    const colour = (kind, number) => (kind === "class" ? "k" + (number % 12) : "");
    const paint = (kind) => {
      const { key, names, colours } = kinds[kind];
      const fill = (number) => (colours ? `var(${colours[number]})` : `hsl(${hue(number)} 60% 50%)`);
      circles.forEach((circle, i) => {
        circle.setAttribute("class", colour(kind, key(i)));
        circle.style.fill = kind === "class" ? "" : fill(key(i));
      });
      legend.replaceChildren();
      if (names.length > 30) { legend.textContent = names.length + " " + kind + "s: hover for names"; return; }
      names.forEach((name, number) => {
        const item = document.createElement("span"), dot = document.createElement("i");
        dot.className = colour(kind, number);
        if (kind !== "class") dot.style.background = fill(number);
        item.append(dot, name);
        legend.append(item);
      });
    };
    for (const button of chart.querySelectorAll("button"))
      button.addEventListener("click", () => {
        for (const other of chart.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        paint(button.dataset.kind);
      });
  }

  // Paper cannot be clicked: what is folded is printed open.
  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => { opened = [...folded()]; for (const one of opened) one.open = true; });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

  for (const button of document.querySelectorAll("button.copy"))
    button.addEventListener("click", async () => {
      const text = button.nextElementSibling.textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
      catch { getSelection().selectAllChildren(button.nextElementSibling); }
    });
})();
