// Lists that can be put in order by dragging: <ul data-reorder="form-id"> of <li data-id> with a .grip. The buttons up and
// down do the same without; dragging fills the form's field `order` with the ids and sends it.
(() => {
  let dragged = null;

  document.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-reorder] .grip");
    if (!grip) return;
    event.preventDefault();
    dragged = grip.closest("li");
    dragged.classList.add("dragged");
    grip.setPointerCapture(event.pointerId);
  });

  document.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    const lines = [...dragged.parentElement.children].filter((line) => line !== dragged);
    const next = lines.find((line) => event.clientY < middle(line));
    if (dragged.nextElementSibling !== (next ?? null)) dragged.parentElement.insertBefore(dragged, next ?? null);
  });

  document.addEventListener("pointerup", end);
  document.addEventListener("pointercancel", end);

  function middle(line) {
    const box = line.getBoundingClientRect();
    return box.top + box.height / 2;
  }

  function end() {
    if (!dragged) return;
    const list = dragged.parentElement;
    dragged.classList.remove("dragged");
    dragged = null;
    const form = document.getElementById(list.dataset.reorder);
    const order = [...list.children].map((line) => line.dataset.id).join(",");
    if (!form || form.elements.order.value === order) return;
    form.elements.order.value = order;
    form.requestSubmit();
  }
})();
