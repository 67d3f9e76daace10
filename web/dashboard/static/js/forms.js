// A form is sent once: its button waits for the answer. Filters with data-auto are sent as soon as they change.
(() => {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method === "dialog" || form.matches("[hx-get], [hx-post], [target]")) return;
    const button = event.submitter;
    // After this turn: a disabled button's own value would not be sent.
    setTimeout(() => {
      if (!button || event.defaultPrevented) return;
      button.disabled = true;
      button.setAttribute("aria-busy", "true");
    });
  });

  // Back from the next page out of the browser's memory: the form is to be used again.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("button[aria-busy]")) {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-auto]");
    if (form && !event.target.matches('[type="search"], [type="text"]')) form.requestSubmit();
  });

  // An empty filter is not worth a place in the address.
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData.entries()]) if (value === "") event.formData.delete(name);
  });
})();
