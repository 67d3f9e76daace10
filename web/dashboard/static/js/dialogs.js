// Asks before a form does what cannot be undone: <form data-confirm="Question" data-confirm-title data-confirm-label>.
// In <details class="confirm"> the form is folded away without JavaScript; with it, the summary opens the dialog.
(() => {
  const agreed = new WeakSet();

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function ask(form, submitter) {
    const no = element("button", { type: "submit", value: "no", className: "quiet", textContent: "Go back", autofocus: true });
    const label = form.dataset.confirmLabel || submitter?.textContent.trim() || "Go on";
    const yes = element("button", { type: "submit", value: "yes", className: form.dataset.confirmTone ?? "danger", textContent: label });
    const title = element("h2", { id: "confirm-title", textContent: form.dataset.confirmTitle || "Are you sure?" });
    const text = element("p", { id: "confirm-text", textContent: form.dataset.confirm });
    const buttons = element("form", { method: "dialog", className: "buttons" }, no, yes);
    const dialog = element("dialog", {}, element("article", {}, title, text, buttons));
    dialog.setAttribute("aria-labelledby", "confirm-title");
    dialog.setAttribute("aria-describedby", "confirm-text");
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close("no"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue !== "yes") return;
      agreed.add(form);
      form.requestSubmit(submitter);
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  // Before all others: htmx and the guard against sending twice must not see what was not agreed to.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-confirm]") || agreed.delete(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(form, event.submitter);
  }, true);

  document.addEventListener("click", (event) => {
    const summary = event.target.closest("details.confirm > summary");
    if (!summary) return;
    event.preventDefault();
    const form = summary.parentElement.querySelector("form");
    ask(form, form.querySelector("button"));
  });
})();
