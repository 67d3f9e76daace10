// In the head, before anything is painted: the theme that was chosen here, and that there is JavaScript.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("flute.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch { /* storage is forbidden: the system's preference it is */ }
})();
