// Times in the viewer's zone: how long ago for the last week, the exact one on hover and for screen readers.
(() => {
  const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
  const WEEK = 7 * 86400;

  function words(time, now) {
    const seconds = (time - now) / 1000;
    if (Math.abs(seconds) < 45) return seconds > 0 ? "in a moment" : "just now";
    if (Math.abs(seconds) < WEEK) {
      const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || ["min", 60];
      const span = `${Math.max(1, Math.trunc(Math.abs(seconds) / size))} ${unit}`;
      return seconds > 0 ? `in ${span}` : `${span} ago`;
    }
    return (time.getFullYear() === now.getFullYear() ? day : year).format(time);
  }

  function show(element) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime()) || element.dataset.show === "day") return;
    const text = element.dataset.show === "exact" ? year.format(time) : words(time, new Date());
    const full = exact.format(time);
    if (element.title !== full) element.title = full;
    if (element.dataset.shown === text) return;
    element.dataset.shown = text;
    const hidden = document.createElement("span");
    hidden.className = "unseen";
    hidden.textContent = ` (${full})`;
    element.replaceChildren(text, hidden);
  }

  // Fields for a time: typed in the viewer's zone, sent as the exact moment.
  const two = (number) => String(number).padStart(2, "0");

  function localValue(time) {
    const seconds = time.getSeconds() ? `:${two(time.getSeconds())}` : "";
    const year = String(time.getFullYear()).padStart(4, "0");
    return `${year}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}${seconds}`;
  }

  function take(field) {
    const time = new Date(`${field.dataset.utc}Z`);
    if (!Number.isNaN(time.getTime())) field.value = localValue(time);
    const zone = field.closest(".field")?.querySelector("[data-zone]");
    if (!zone) return;
    zone.textContent = "(your time)";
    zone.title = Intl.DateTimeFormat().resolvedOptions().timeZone;
  }

  document.addEventListener("formdata", (event) => {
    for (const field of event.target.querySelectorAll("input[data-utc][name]")) {
      const time = new Date(field.value);
      if (field.value && !field.disabled && !Number.isNaN(time.getTime())) {
        event.formData.set(field.name, `${time.toISOString().slice(0, 19)}Z`.replace(":00Z", "Z"));
      }
    }
  });

  flute.whenShown((piece) => flute.all(piece, "input[data-utc]").forEach(take));
  flute.whenShown((piece) => flute.all(piece, "time[datetime]").forEach(show));
  setInterval(() => document.hidden || document.querySelectorAll("time[datetime]").forEach(show), 20000);
})();
