// Buttons that copy: data-copy is the text, or data-copy-from the id of the element that holds it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent;
  if (!(await write(text))) {
    flute.say("Could not copy: please select the text");
    return;
  }
  flute.say("Copied");
  mark(button);

  async function write(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return writeOldWay(text); // the page came over plain HTTP from another machine
    }
  }

  function writeOldWay(text) {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.focus();
    return done;
  }

  function mark(button) {
    const use = button.querySelector("use");
    if (!use || "copied" in button.dataset) return;
    const before = use.getAttribute("href");
    button.dataset.copied = "";
    use.setAttribute("href", before.replace(/#.*/, "#check"));
    setTimeout(() => {
      delete button.dataset.copied;
      use.setAttribute("href", before);
    }, 1600);
  }
});
