// A password is shown while the button beside it is pressed in; it is hidden again before it is sent, or browsers would
// keep it among the words that they propose.
(() => {
  function show(button, shown) {
    document.getElementById(button.dataset.showPassword).type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-show-password]");
    if (button) show(button, button.getAttribute("aria-pressed") !== "true");
  });

  document.addEventListener("submit", (event) => {
    for (const button of event.target.querySelectorAll("[data-show-password]")) show(button, false);
  });
})();
