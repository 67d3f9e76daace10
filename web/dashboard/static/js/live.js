// Live parts (htmx): they wait while nobody looks, keep what is unfolded and where the keyboard is, and notice when the
// session has ended.
(() => {
  const kept = new WeakMap();
  const inUse = "dialog, input, select, textarea, [role=region]";

  // How to find what was focused among what came for it; empty where that cannot be told.
  function sameAs(element) {
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.matches("details[id] > summary")) return `#${CSS.escape(element.parentElement.id)} > summary`;
    return element.matches("a[href]") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : "";
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    const polls = (event.detail.elt.getAttribute("hx-trigger") || "").includes("every");
    const busy = event.detail.target.contains(document.activeElement?.closest(inUse));
    if (polls && (document.hidden || busy)) event.preventDefault();
  });

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll('[hx-trigger*="every"]')) htmx.trigger(part, "shown");
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr, pathInfo } = event.detail;
    // The answer is a page that we were sent to, most likely the login: go there as a whole.
    const answered = xhr.responseURL && new URL(xhr.responseURL).pathname;
    if (answered && answered !== new URL(pathInfo.finalRequestPath, location.href).pathname) {
      event.detail.shouldSwap = false;
      location.assign(xhr.responseURL);
      return;
    }
    const unfolded = flute.all(target, "details[open][id]").map((details) => details.id);
    const focused = target.contains(document.activeElement) ? sameAs(document.activeElement) : "";
    kept.set(xhr, { unfolded, focused });
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    const { unfolded, focused } = kept.get(event.detail.xhr) || { unfolded: [], focused: "" };
    for (const id of unfolded) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    if (focused && document.activeElement === document.body) {
      document.querySelector(focused)?.focus({ preventScroll: true });
    }
  });

  // Graphs come with a script of their own, only where there is one.
  flute.whenShown((piece) => {
    if (!flute.charts || !flute.all(piece, "[data-chart]").length) return;
    const script = document.createElement("script");
    script.src = flute.charts;
    document.head.append(script);
    flute.charts = "";
  });
})();
