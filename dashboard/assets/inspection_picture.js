// One frame with its layers. Zoom, fade and comparison work in the browser alone; what people set is kept for the visit,
// so that the next frame is shown like the last one. A new frame appears with all its layers at once, and what the card
// around it says of another frame is hidden meanwhile.
const OPACITY = "andon-map-opacity", MAP = "andon-map-shown", OUTLINE = "andon-outline-shown";
const MAX_SCALE = 16, STEP = 1.25, PAN_PX = 60;
const SWAP_TIMEOUT_MS = 2000; // a card that never names the frame is not hidden for longer
const LABEL_KEY = /st-key-label-[a-z_]+-([0-9a-f]{8}-[0-9a-f-]{27})/;
const SVG = "http://www.w3.org/2000/svg";

const views = new WeakMap(); // figure → its view
const decoded = (window.andonDecodedPictures ??= new Map()); // frame → promise of its layers, for the next frame

async function decodeLayers(data) {
  const layers = {};
  await Promise.all(
    ["picture", "heat", "normal"].map(async (name) => {
      if (!data[name]) return;
      const image = new Image();
      image.src = data[name];
      await image.decode().catch(() => {}); // a damaged layer is shown as such
      layers[name] = image;
    })
  );
  return layers;
}

export function layersOf(data) {
  const key = `${data.frame} ${data.heat?.length ?? 0} ${data.normal?.length ?? 0}`;
  if (!decoded.has(key)) decoded.set(key, decodeLayers(data));
  while (decoded.size > 4) decoded.delete(decoded.keys().next().value);
  return decoded.get(key).then((layers) => {
    const copies = {};
    for (const [name, image] of Object.entries(layers)) copies[name] = image.cloneNode();
    return Promise.all(Object.values(copies).map((image) => image.decode().catch(() => {}))).then(() => copies);
  });
}

function isTyping(target) {
  return (
    target?.isContentEditable ||
    /^(TEXTAREA|SELECT)$/.test(target?.tagName) ||
    (target?.tagName === "INPUT" && !/^(range|checkbox|radio|button)$/.test(target.type))
  );
}

class View {
  constructor(root) {
    this.root = root;
    this.one = (selector) => root.querySelector(selector);
    this.stage = this.one(".layers");
    this.frame = this.one(".frame");
    this.pointers = new Map();
    this.observer = new MutationObserver(() => this.hideOthers());
    this.onKeyDown = (event) => this.holdKey(event, true);
    this.onKeyUp = (event) => this.holdKey(event, false);
    this.onLeave = () => this.compare(false);
    this.reset();
    this.connect();
  }

  attach() {
    window.addEventListener("keydown", this.onKeyDown, true);
    window.addEventListener("keyup", this.onKeyUp, true);
    window.addEventListener("blur", this.onLeave);
    this.card = this.root.getRootNode().host?.closest('[class*="st-key-card-"]');
    if (this.card) this.observer.observe(this.card, { subtree: true, childList: true, attributes: true, attributeFilter: ["class", "data-frame"] });
    this.hideOthers();
  }

  detach() {
    window.removeEventListener("keydown", this.onKeyDown, true);
    window.removeEventListener("keyup", this.onKeyUp, true);
    window.removeEventListener("blur", this.onLeave);
    this.observer.disconnect();
    this.card?.removeAttribute("data-swapping");
  }

  // ---- frames

  async show(data) {
    this.wanted = data;
    if (this.shown?.frame === data.frame && this.shown.heat === data.heat && this.shown.normal === data.normal) {
      this.describe(data);
      return;
    }
    this.stage.setAttribute("aria-busy", "true");
    const layers = await layersOf(data);
    if (this.wanted !== data) return; // a newer frame was asked for meanwhile
    for (const name of ["picture", "normal", "heat"]) {
      const image = layers[name] ?? new Image();
      image.className = name;
      this.one(`.${name}`).replaceWith(image);
    }
    const { naturalWidth, naturalHeight } = this.one(".picture");
    if (naturalWidth) this.frame.style.setProperty("--ratio", naturalWidth / naturalHeight);
    if (this.shown?.frame !== data.frame) this.reset();
    this.describe(data);
    this.root.getRootNode().host.dataset.picture = "loaded"; // the style sheet shows a slot (components/swap.py) from now on
    this.stage.removeAttribute("aria-busy");
    this.hideOthers();
  }

  describe(data) {
    this.shown = data;
    this.root.dataset.frame = data.frame;
    this.one(".picture").alt = data.description;
    this.one(".heat").alt = this.one(".normal").alt = "";
    this.one(".where").textContent = data.where;
    this.one(".low").textContent = data.low;
    this.one(".high").textContent = data.high;
    this.one(".outlines").replaceChildren(
      ...data.ignored.map((points) => shape("polygon", { points, class: "ignored" })),
      ...(data.interest.length ? [shape("path", { d: `M0,0H1V1H0Z${data.interest.map((points) => `M${points.replaceAll(" ", "L")}Z`).join("")}`, class: "ignored" })] : []),
      ...data.regions.flatMap(({ points, box: [left, top, right, bottom] }) => [
        shape("rect", { x: left, y: top, width: right - left, height: bottom - top }),
        shape("polygon", { points }),
      ])
    );
    const mapped = Boolean(data.heat);
    for (const name of [".map", ".fade", ".legend"]) this.one(name).hidden = !mapped;
    this.one(".none").hidden = mapped;
    this.one(".contour").hidden = !data.regions.length;
    this.one(".wipe").hidden = !data.normal;
    this.one(".share").hidden = !data.link;
    this.one(".address").hidden = true;
    this.one(".said").textContent = "";
    this.draw();
  }

  // Hides what the card says of another frame than the one on the picture, before the browser paints it.
  hideOthers() {
    if (!this.card || !this.shown) return;
    const frame = this.shown.frame;
    const named = [...this.card.querySelectorAll("[data-frame]")].map((element) => element.dataset.frame);
    for (const element of this.card.querySelectorAll('[class*="st-key-label-"]')) {
      named.push(LABEL_KEY.exec(element.className)?.[1] ?? frame);
    }
    const isTorn = named.some((other) => other !== frame);
    if (isTorn && !this.tornTimer) this.tornTimer = setTimeout(() => this.card?.removeAttribute("data-swapping"), SWAP_TIMEOUT_MS);
    if (!isTorn) {
      clearTimeout(this.tornTimer);
      this.tornTimer = 0;
      this.card.removeAttribute("data-swapping");
    } else if (!this.card.hasAttribute("data-swapping") && this.tornFor !== named.join()) {
      this.card.setAttribute("data-swapping", "");
    }
    this.tornFor = isTorn ? named.join() : ""; // once given up on, it stays visible
  }

  // ---- zoom

  reset() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    if (this.shown) this.draw();
  }

  zoom(factor, clientX, clientY) {
    const scale = Math.min(MAX_SCALE, Math.max(1, this.scale * factor));
    const box = this.frame.getBoundingClientRect();
    const atX = clientX === undefined ? this.stage.getBoundingClientRect().left + this.stage.clientWidth / 2 : clientX;
    const atY = clientY === undefined ? this.stage.getBoundingClientRect().top + this.stage.clientHeight / 2 : clientY;
    this.x += (atX - box.left) * (1 - scale / this.scale);
    this.y += (atY - box.top) * (1 - scale / this.scale);
    this.scale = scale;
    this.draw();
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.draw();
  }

  draw() {
    const { offsetWidth: width, offsetHeight: height } = this.frame;
    const within = (value, size) => Math.min(0, Math.max(size - size * this.scale, value)); // no gap beside the picture
    this.x = within(this.x, width);
    this.y = within(this.y, height);
    const isZoomed = this.scale > 1.001;
    this.frame.style.transform = isZoomed ? `translate(${this.x}px, ${this.y}px) scale(${this.scale})` : "";
    this.root.style.setProperty("--scale", this.scale);
    this.stage.classList.toggle("zoomed", isZoomed);
    this.stage.toggleAttribute("data-own-keys", isZoomed); // then the arrows pan, and are no shortcuts of the page
    const percent = `${Math.round(100 * this.scale)} %`;
    this.one(".reset").textContent = percent;
    this.stage.setAttribute(
      "aria-label",
      `${this.shown?.description ?? ""}. ${this.shown?.where ?? ""} Zoom ${percent}: plus and minus zoom, arrows pan, 0 shows all, hold C to compare with the nearest good part.`
    );
    const heat = this.one(".heat"), isMapShown = sessionStorage.getItem(MAP) !== "no";
    const opacity = this.one(".fade input").value;
    heat.style.opacity = opacity / 100;
    heat.hidden = !this.shown?.heat || !isMapShown || this.isComparing;
    this.one(".map").setAttribute("aria-pressed", isMapShown);
    this.one(".fade output").textContent = `${opacity} %`;
    const isOutlined = sessionStorage.getItem(OUTLINE) !== "no";
    this.one(".contour").setAttribute("aria-pressed", isOutlined);
    this.one(".outlines").style.visibility = isOutlined || this.shown?.ignored.length || this.shown?.interest.length ? "visible" : "hidden";
    for (const one of this.root.querySelectorAll(".outlines rect, .outlines polygon:not(.ignored)")) one.style.display = isOutlined ? "" : "none";
    const wiped = this.isComparing ? 100 : Number(this.one(".wipe input").value);
    const normal = this.one(".normal");
    normal.hidden = !this.shown?.normal || wiped === 0;
    normal.style.clipPath = `inset(0 ${100 - wiped}% 0 0)`;
    heat.style.clipPath = normal.hidden ? "" : `inset(0 0 0 ${wiped}%)`; // the map is that of the frame
    const edge = this.one(".edge");
    edge.hidden = normal.hidden || wiped === 100;
    edge.style.left = `${wiped}%`;
    this.one(".comparing").hidden = normal.hidden;
  }

  // ---- comparison

  compare(on) {
    if (this.isComparing === on) return;
    this.isComparing = on;
    if (this.shown) this.draw();
  }

  holdKey(event, down) {
    if (event.key !== "c" && event.key !== "C") return;
    if (!down) return this.compare(false);
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.composedPath()[0]) || !this.shown?.normal) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.compare(true);
  }

  // ---- controls

  connect() {
    const { stage, one } = this;
    const slider = one(".fade input"), wipe = one(".wipe input");
    slider.value = sessionStorage.getItem(OPACITY) ?? 60;
    slider.oninput = () => {
      sessionStorage.setItem(OPACITY, slider.value);
      sessionStorage.setItem(MAP, "yes");
      this.draw();
    };
    wipe.oninput = () => this.draw();
    for (const range of [slider, wipe]) range.onkeydown = (event) => event.key.toLowerCase() !== "c" && event.stopPropagation();
    const toggle = (name) => () => {
      sessionStorage.setItem(name, sessionStorage.getItem(name) === "no" ? "yes" : "no");
      this.draw();
    };
    one(".map").onclick = toggle(MAP);
    one(".contour").onclick = toggle(OUTLINE);
    one(".in").onclick = () => this.zoom(STEP);
    one(".out").onclick = () => this.zoom(1 / STEP);
    one(".reset").onclick = () => this.reset();
    const blink = one(".blink");
    blink.onpointerdown = () => this.compare(true);
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) blink.addEventListener(end, () => this.compare(false));
    blink.onkeydown = (event) => (event.key === " " || event.key === "Enter") && this.compare(true);
    blink.onkeyup = () => this.compare(false);
    one(".share").onclick = () => this.share();
    one(".download").onclick = () => this.download();
    one(".download").onkeydown = (event) => event.key === "Enter" && this.download();
    stage.onkeydown = (event) => this.onStageKey(event);
    stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    stage.onpointerdown = (event) => this.onPointerDown(event);
    stage.onpointermove = (event) => this.onPointerMove(event);
    stage.onpointerup = stage.onpointercancel = (event) => this.onPointerUp(event);
    stage.ondblclick = (event) => (this.scale > 1 ? this.reset() : this.zoom(3, event.clientX, event.clientY));
    new ResizeObserver(() => this.shown && this.draw()).observe(stage);
  }

  onStageKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [PAN_PX, 0], ArrowRight: [-PAN_PX, 0], ArrowUp: [0, PAN_PX], ArrowDown: [0, -PAN_PX] };
    if (event.key === "+" || event.key === "=") this.zoom(STEP);
    else if (event.key === "-") this.zoom(1 / STEP);
    else if (event.key === "0") this.reset();
    else if (event.key in arrows && this.scale > 1) this.pan(...arrows[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  onWheel(event) {
    if (event.deltaY > 0 && this.scale <= 1 && !event.ctrlKey) return; // nothing to zoom out: the page scrolls
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 100 : 400)), event.clientX, event.clientY);
  }

  onPointerDown(event) {
    this.pointers.set(event.pointerId, event);
    if (this.scale > 1 || this.pointers.size > 1) this.stage.setPointerCapture(event.pointerId);
  }

  onPointerMove(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers.values()].filter((other) => other.pointerId !== event.pointerId);
    if (others.length) {
      const [other] = others;
      const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.zoom(distance(event) / distance(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    } else if (this.scale > 1) {
      this.stage.classList.add("dragged");
      this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    }
    this.pointers.set(event.pointerId, event);
  }

  onPointerUp(event) {
    this.pointers.delete(event.pointerId);
    this.stage.classList.remove("dragged");
  }

  // ---- out of the page

  async share() {
    const address = new URL(this.shown.link, document.baseURI).href, field = this.one(".address");
    field.value = address;
    try {
      await navigator.clipboard.writeText(address);
      this.one(".said").textContent = "Link copied.";
    } catch {
      field.hidden = false; // a page without TLS has no clipboard
      field.select();
      this.one(".said").textContent = "Copy the link from the field.";
    }
  }

  download() {
    const picture = this.one(".picture"), heat = this.one(".heat");
    const canvas = document.createElement("canvas");
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    const pen = canvas.getContext("2d");
    pen.drawImage(picture, 0, 0);
    if (!heat.hidden) {
      pen.globalAlpha = heat.style.opacity;
      pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
      pen.globalAlpha = 1;
    }
    if (sessionStorage.getItem(OUTLINE) !== "no") {
      pen.strokeStyle = "#ff5a00";
      pen.lineWidth = Math.max(2, canvas.width / 400);
      for (const { points } of this.shown.regions) {
        pen.beginPath();
        for (const point of points.split(" ")) {
          const [x, y] = point.split(",").map(Number);
          pen.lineTo(x * canvas.width, y * canvas.height);
        }
        pen.closePath();
        pen.stroke();
      }
    }
    const link = document.createElement("a");
    link.href = canvas.toDataURL("image/png");
    link.download = this.shown.file;
    link.click();
    this.one(".said").textContent = "Downloaded.";
  }
}

function shape(kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export default function inspectionPicture({ data, parentElement }) {
  if (data.ahead) {
    layersOf(data.ahead);
    return;
  }
  const root = parentElement.querySelector(".inspection");
  if (!views.has(root)) views.set(root, new View(root));
  const view = views.get(root);
  view.attach();
  view.show(data);
  return () => view.detach();
}
