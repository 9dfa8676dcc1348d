// A box or a choice that was clicked last keeps the focus and keeps the keys to itself. This hands single letters and
// digits on to the page, where Streamlit's shortcuts hear them; what is typed into a text field stays there.
const OWN = "checkbox radio range button".split(" ");
const NAME = "andonKeys";

function handOn(event) {
  const target = event.composedPath()[0];
  const keepsKeys = target?.tagName === "INPUT" && OWN.includes(target.type);
  if (!event.isTrusted || !keepsKeys || !/^[a-z0-9]$/i.test(event.key)) return;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  event.stopImmediatePropagation();
  event.preventDefault();
  const { key, code, repeat } = event;
  document.body.dispatchEvent(new KeyboardEvent(event.type, { key, code, repeat, bubbles: true }));
}

// After a defect type was typed and sent, the keys mean words again.
function leaveField(event) {
  const target = event.composedPath()[0];
  if (event.key === "Enter" && target?.closest?.(".st-key-types")) setTimeout(() => target.blur(), 0);
}

export default function keys() {
  if (window[NAME]) return;
  window[NAME] = true;
  window.addEventListener("keydown", handOn, true);
  window.addEventListener("keyup", handOn, true);
  window.addEventListener("keydown", leaveField, true);
}
