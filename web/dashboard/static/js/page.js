// What the other parts share, and the small things: theme, menus, notes that can be closed.
const flute = {
  // Calls `work` with the page now, and with every piece that htmx puts into it later.
  whenShown(work) {
    const begin = () => work(document.body);
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
    else begin();
    document.addEventListener("htmx:afterSettle", (event) => work(event.detail.elt));
  },
  // The elements at and below `root`.
  all(root, selector) {
    const found = [...root.querySelectorAll(selector)];
    return root.matches(selector) ? [root, ...found] : found;
  },
  // Tells a screen reader.
  say(text) {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  },
  charts: document.querySelector('meta[name="flute-charts"]')?.content,
};

(() => {
  const root = document.documentElement;

  function chosen() {
    return root.dataset.theme || "system";
  }

  function show() {
    for (const button of document.querySelectorAll("[data-set-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === chosen()));
    }
  }

  function choose(theme) {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "system") localStorage.removeItem("flute.theme");
      else localStorage.setItem("flute.theme", theme);
    } catch { /* it holds for this page alone */ }
    show();
  }

  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-set-theme]");
    if (theme) choose(theme.dataset.setTheme);
    event.target.closest("[data-dismiss]")?.closest(".note")?.remove();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // Another tab may have chosen.
  window.addEventListener("storage", (event) => {
    if (event.key === "flute.theme") choose(event.newValue || "system");
  });

  flute.whenShown((piece) => {
    show();
    // After a form was refused, begin at what is wrong.
    flute.all(piece, "[data-focus]")[0]?.focus();
    // A list of sections that is wider than the screen: show the one that we are in.
    for (const tab of flute.all(piece, ".tabs a[aria-current]")) {
      const list = tab.closest("ul");
      list.scrollLeft = tab.offsetLeft - list.offsetLeft - (list.clientWidth - tab.offsetWidth) / 2;
    }
  });
})();
