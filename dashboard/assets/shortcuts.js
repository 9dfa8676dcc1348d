// Forwards single letters, digits and the left and right arrows to the buttons whose shortcuts they are, wherever the
// focus is, except in a text field. Presses during a run of the page wait: each is forwarded after the run of the one
// before it has ended, and only while the frame is on the screen that was there when the key was pressed. A frame comes
// to the screen together with its buttons (components/swap.py); those of a hidden slot are none.
const INSTALLED = "andonShortcuts";
const ARROWS = { ArrowLeft: "←", ArrowRight: "→" };
const NOT_TEXT = ["checkbox", "radio", "range", "button"]; // types of <input> that take no letters
const RUN_STATE = "data-test-script-state";
const LABEL_BUTTON = '[class*="st-key-label-"]'; // its key holds the frame
const RUN_START_TIMEOUT_MS = 5000; // by then the run was too short to be seen, or will not come

const waiting = [];
let isForwarding = false;

const app = () => document.querySelector(".stApp");
const isIdle = () => app()?.getAttribute(RUN_STATE) === "notRunning";
const isSeen = (element) => element.checkVisibility({ visibilityProperty: true });
const seen = (selector) => [...document.querySelectorAll(selector)].filter(isSeen);
const shownFrame = () => /st-key-label-\S+/.exec(seen(LABEL_BUTTON)[0]?.className)?.[0];

function buttonOf(key) {
  const name = ARROWS[key] ?? key.toUpperCase();
  return seen(".stButton button:enabled kbd").find((hint) => hint.textContent === name)?.closest("button");
}

function isShortcut({ key, isTrusted, ctrlKey, altKey, metaKey }) {
  return isTrusted && !ctrlKey && !altKey && !metaKey && (/^[a-z0-9]$/i.test(key) || key in ARROWS);
}

function isTyping(target, key) {
  if (target?.closest?.("[data-own-keys]") && key in ARROWS) return true;
  if (target?.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target?.tagName)) return true;
  if (target?.closest?.('[role="slider"]') && key in ARROWS) return true;
  if (target?.tagName !== "INPUT") return false;
  return !NOT_TEXT.includes(target.type) || key in ARROWS;
}

// Resolves when a condition holds; it is checked whenever the page starts or ends a run.
function until(condition, timeoutMs) {
  return new Promise((resolve) => {
    const observer = new MutationObserver(check);
    const timer = timeoutMs && setTimeout(finish, timeoutMs);
    function finish() {
      observer.disconnect();
      clearTimeout(timer);
      resolve();
    }
    function check() {
      if (condition()) finish();
    }
    observer.observe(app(), { attributes: true, attributeFilter: [RUN_STATE] });
    check();
  });
}

async function forwardAll() {
  isForwarding = true;
  while (waiting.length) {
    await until(isIdle);
    const { key, frame } = waiting.shift();
    const button = frame === shownFrame() && buttonOf(key);
    if (!button) continue;
    button.click();
    await until(() => !isIdle(), RUN_START_TIMEOUT_MS);
  }
  isForwarding = false;
}

function onKeyDown(event) {
  const target = event.composedPath()[0];
  if (!isShortcut(event) || isTyping(target, event.key)) return;
  if (isIdle() && !isForwarding && !buttonOf(event.key)) return;
  event.stopImmediatePropagation(); // or Streamlit would handle the key, too
  event.preventDefault();
  if (event.repeat && isForwarding) return; // a key held down does not fill the queue
  waiting.push({ key: event.key, frame: shownFrame() });
  if (!isForwarding) forwardAll();
}

// After a defect type was typed and sent, keys are shortcuts again.
function leaveTypeField(event) {
  const target = event.composedPath()[0];
  if (event.key === "Enter" && target?.closest?.(".st-key-types")) setTimeout(() => target.blur(), 0);
}

export default function shortcuts() {
  if (window[INSTALLED]) return;
  window[INSTALLED] = true;
  document.body.classList.add("andon-shortcuts"); // the style sheet shows what answers to keys from now on
  window.addEventListener("keydown", onKeyDown, true);
  window.addEventListener("keydown", leaveTypeField, true);
}
