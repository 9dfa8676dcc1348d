// Runs again whenever the data change. The slider's value is kept for the whole visit, so that the next frame is shown
// like the last one.
const REMEMBERED = "andon-map-opacity";

export default function inspectionPicture({ data, parentElement }) {
  const one = (selector) => parentElement.querySelector(selector);
  const picture = one(".picture"), heat = one(".heat"), slider = one("input"), shown = one("output");

  const fade = () => {
    heat.style.opacity = slider.value / 100;
    shown.textContent = `${slider.value} %`;
  };

  // The box takes the picture's aspect ratio, so that the map covers the picture exactly.
  picture.onload = () => one(".frame").style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
  if (picture.src !== data.picture) picture.src = data.picture;
  picture.alt = data.description;
  const mapped = Boolean(data.heat);
  if (mapped && heat.src !== data.heat) heat.src = data.heat;
  heat.hidden = one(".fade").hidden = one(".legend").hidden = !mapped;
  one(".none").hidden = mapped;
  one(".low").textContent = data.low;
  one(".high").textContent = data.high;

  if (!slider.dataset.ready) {
    slider.value = sessionStorage.getItem(REMEMBERED) ?? 60;
    slider.dataset.ready = "yes";
  }
  slider.onkeydown = (event) => event.stopPropagation();  // the arrow keys move the slider and are no shortcuts of the page
  slider.oninput = () => {
    sessionStorage.setItem(REMEMBERED, slider.value);
    fade();
  };
  fade();
}
