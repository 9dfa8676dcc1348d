// A box or a choice that was clicked last keeps the focus and keeps the keys to itself. This hands single letters and
// digits on to the page, where Streamlit's shortcuts hear them; what is typed into a text field stays there.
// While the page is drawn anew Streamlit may lose a press. Those wait here, and are handed on one by one.
const OWN = "checkbox radio range button".split(" ");
const NAME = "andonKeys";
const DRAWN = '.stApp[data-test-script-state="notRunning"]';
const SPOKEN_OF = '[class*="st-key-say-"]'; // the words' buttons, whose names hold the frame
const PATIENCE_MS = 5000; // what waited longer was meant for a page that nobody looks at any more
const LOOK_EVERY_MS = 20;
const HEARD_AFTER_MS = 300; // a press that has drawn nothing anew by then draws nothing

const waiting = [];
let atWork = false; // from a press until the page is drawn after it
let heardAtMs = 0;
let wasDrawnAnew = false;

const isDrawn = () => document.querySelector(DRAWN) !== null;
const frame = () => /st-key-say-\S+/.exec(document.querySelector(SPOKEN_OF)?.className)?.[0];

function isForThePage({ isTrusted, key, ctrlKey, altKey, metaKey }) {
  return isTrusted && !ctrlKey && !altKey && !metaKey && (/^[a-z0-9]$/i.test(key) || /^Arrow(Left|Right)$/.test(key));
}

function isOwn(target, key) {
  if (target?.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target?.tagName)) return true;
  if (target?.closest?.('[role="slider"]') && key.startsWith("Arrow")) return true;
  if (target?.tagName !== "INPUT") return false;
  return !OWN.includes(target.type) || key.startsWith("Arrow");
}

function handOn({ key, code }) {
  for (const type of ["keydown", "keyup"]) {
    document.body.dispatchEvent(new KeyboardEvent(type, { key, code, bubbles: true }));
  }
}

function begin() {
  heardAtMs = performance.now();
  wasDrawnAnew = false;
  if (!atWork) setTimeout(look, LOOK_EVERY_MS);
  atWork = true;
}

// A press speaks of the frame that was on the screen: when another is, it is forgotten.
function look() {
  const isDrawnNow = isDrawn();
  wasDrawnAnew ||= !isDrawnNow;
  const isHeard = isDrawnNow && (wasDrawnAnew || performance.now() - heardAtMs > HEARD_AFTER_MS);
  if (isHeard && waiting.length === 0) {
    atWork = false;
    return;
  }
  setTimeout(look, LOOK_EVERY_MS);
  if (!isHeard) return;
  const press = waiting.shift();
  if (press.frame !== frame() || performance.now() - press.atMs > PATIENCE_MS) return;
  handOn(press);
  begin();
}

function hear(event) {
  const target = event.composedPath()[0];
  if (!isForThePage(event) || isOwn(target, event.key)) return;
  const isFree = isDrawn() && !atWork;
  if (isFree) begin();
  if (isFree && target?.tagName !== "INPUT") return; // Streamlit hears it by itself
  event.stopImmediatePropagation();
  event.preventDefault();
  if (isFree) handOn(event);
  else if (!event.repeat) {
    waiting.push({ key: event.key, code: event.code, frame: frame(), atMs: performance.now() });
    if (!atWork) begin();
  }
}

// After a defect type was typed and sent, the keys mean words again.
function leaveField(event) {
  const target = event.composedPath()[0];
  if (event.key === "Enter" && target?.closest?.(".st-key-types")) setTimeout(() => target.blur(), 0);
}

export default function keys() {
  if (window[NAME]) return;
  window[NAME] = true;
  window.addEventListener("keydown", hear, true);
  window.addEventListener("keydown", leaveField, true);
}
