// Live parts (htmx): they wait while nobody looks, keep what is unfolded, and notice when the session has ended.
(() => {
  const unfolded = new WeakMap();

  document.addEventListener("htmx:beforeRequest", (event) => {
    const polls = (event.detail.elt.getAttribute("hx-trigger") || "").includes("every");
    const busy = event.detail.elt.contains(document.activeElement?.closest("dialog, input, select, textarea"));
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
    unfolded.set(xhr, [...target.querySelectorAll("details[open][id]")].map((details) => details.id));
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    for (const id of unfolded.get(event.detail.xhr) || []) {
      const details = document.getElementById(id);
      if (details) details.open = true;
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
