// Says when what is on the screen is old: once a live part of the page has missed three refreshes, the page turns grey and
// says since when. Meanwhile ages go on ticking, from the age that the server drew.
const MISSED_REFRESHES = 3;
const MIN_PATIENCE_MS = 5000; // a busy server that answers late is not gone
const TICK_MS = 1000;
const FROZEN = "andon-frozen";
const INSTALLED = "andonFreshness";

// The page may load this module more than once: all of them share the parts.
const parts = (window.andonFreshnessParts ??= new Map()); // name → { everyMs, clock, drawing, receivedAtMs }
const seen = new WeakMap(); // element → when its age was first seen

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function tickAges(nowMs) {
  for (const element of document.querySelectorAll("[data-age-s]")) {
    if (!seen.has(element)) seen.set(element, nowMs);
    const seconds = Number(element.dataset.ageS) + (nowMs - seen.get(element)) / 1000;
    const text = seconds < 1 ? "just now" : `${duration(seconds)} ago`;
    if (element.textContent !== text) element.textContent = text;
  }
}

function note() {
  let element = document.querySelector(`.${FROZEN}-note`);
  if (!element) {
    element = document.createElement("div");
    element.className = `${FROZEN}-note`;
    element.setAttribute("role", "alert");
    document.body.append(element);
  }
  return element;
}

function check() {
  const nowMs = performance.now();
  tickAges(nowMs);
  const late = [...parts.values()].filter(
    (part) => nowMs - part.receivedAtMs > Math.max(MISSED_REFRESHES * part.everyMs, MIN_PATIENCE_MS)
  );
  const isFrozen = late.length > 0;
  document.documentElement.classList.toggle(FROZEN, isFrozen);
  if (!isFrozen) {
    document.querySelector(`.${FROZEN}-note`)?.remove();
    return;
  }
  const oldest = late.reduce((one, other) => (one.receivedAtMs < other.receivedAtMs ? one : other));
  const text = `Not updated since ${oldest.clock}: the server does not answer, or this browser has no connection.`;
  if (note().textContent !== text) note().textContent = text;
}

// A hidden tab refreshes rarely, which is no fault: its parts get their time again when it is shown.
function onVisibilityChange() {
  if (!document.hidden) for (const part of parts.values()) part.receivedAtMs = performance.now();
}

export default function freshness({ data }) {
  const known = parts.get(data.part);
  if (known?.drawing !== data.drawing) parts.set(data.part, { ...data, receivedAtMs: performance.now() });
  if (!window[INSTALLED]) {
    window[INSTALLED] = setInterval(check, TICK_MS);
    document.addEventListener("visibilitychange", onVisibilityChange);
  }
  check();
  return () => {
    if (parts.get(data.part)?.drawing === data.drawing) parts.delete(data.part); // else it was drawn again meanwhile
    check();
  };
}
