// Draws the areas of a station's mask over its picture, by pointer or by keyboard; Save sends them to the server.
const SVG = "http://www.w3.org/2000/svg";
const NEAR_PX = 12, DRAG_PX = 8, STEP = 0.01, LARGE_STEP = 0.05;
const editors = new WeakMap();
const within = (value) => Math.round(1e4 * Math.min(1, Math.max(0, value))) / 1e4;
const percent = ([x, y]) => `${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top`;

class Editor {
  constructor(root) {
    this.one = (selector) => root.querySelector(selector);
    this.stage = this.one(".stage");
    this.kind = "ignored";
    this.corners = [];
    this.cross = [0.5, 0.5];
    for (const kind of ["ignored", "region_of_interest"]) this.one(`.${kind}`).onclick = () => this.choose(kind);
    this.one(".back").onclick = () => this.removeLast();
    this.one(".empty").onclick = () => this.change(() => Object.assign(this, { corners: [], areas: { ignored: [], region_of_interest: [] } }), "All areas removed.");
    this.one(".save").onclick = () => this.save();
    this.stage.onpointerdown = (event) => this.onDown(event);
    this.stage.onpointermove = (event) => this.onMove(event);
    this.stage.onpointerup = (event) => this.onUp(event);
    this.stage.onkeydown = (event) => this.onKey(event);
    this.stage.onfocus = () => this.draw();
    this.stage.onblur = () => this.draw();
  }

  show(data, send) {
    this.send = send;
    this.mayEdit = data.mayEdit;
    if (this.version === data.version && this.picture === data.station) return;
    Object.assign(this, { version: data.version, picture: data.station, areas: structuredClone(data.areas), corners: [] });
    this.one("img").src = data.picture;
    this.one("img").alt = `Picture of ${data.station}`;
    this.draw();
  }

  choose(kind) {
    this.kind = kind;
    this.corners = [];
    this.draw();
  }

  change(make, text) {
    if (!this.mayEdit) return;
    make();
    this.one(".said").textContent = text;
    this.draw();
  }

  at(event) {
    const box = this.stage.getBoundingClientRect();
    return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  }

  addCorner(point) {
    this.change(() => this.corners.push(point), `Corner ${this.corners.length + 1}, ${percent(point)}.`);
  }

  close(corners = this.corners) {
    if (corners.length < 3) {
      this.one(".said").textContent = "An area has at least three corners.";
      return;
    }
    this.change(() => {
      this.areas[this.kind].push(corners);
      this.corners = [];
    }, `Area ${this.areas[this.kind].length + 1} closed. Save the mask to apply it.`);
  }

  removeLast() {
    if (this.corners.length) this.change(() => this.corners.pop(), "Corner removed.");
    else this.change(() => this.areas[this.kind].pop(), "Area removed.");
  }

  save() {
    if (this.corners.length) return (this.one(".said").textContent = "Close the area first, or drop it with Escape.");
    this.one(".said").textContent = "";
    this.send(this.areas);
  }

  onDown(event) {
    this.stage.setPointerCapture(event.pointerId);
    this.down = { point: this.at(event), x: event.clientX, y: event.clientY };
  }

  onMove(event) {
    this.cross = this.at(event);
    const isDrag = this.down && Math.hypot(event.clientX - this.down.x, event.clientY - this.down.y) > DRAG_PX;
    this.box = isDrag && !this.corners.length ? this.boxTo(this.at(event)) : null;
    this.draw();
  }

  onUp(event) {
    const { down, box } = this;
    this.down = this.box = null;
    if (!down) return;
    if (box) return this.close(box);
    const [first] = this.corners, size = this.stage.getBoundingClientRect(), point = this.at(event);
    const isNear = first && Math.hypot((first[0] - point[0]) * size.width, (first[1] - point[1]) * size.height) < NEAR_PX;
    if (isNear && this.corners.length > 2) this.close();
    else this.addCorner(point);
  }

  boxTo([right, bottom]) {
    const [left, top] = this.down.point;
    return [[left, top], [right, top], [right, bottom], [left, bottom]];
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? LARGE_STEP : STEP, [x, y] = this.cross;
    const moved = { ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step] }[event.key];
    if (moved) {
      this.cross = moved.map(within);
      this.one(".said").textContent = percent(this.cross);
      this.draw();
    } else if (event.key === " ") this.addCorner(this.cross);
    else if (event.key === "Enter") this.close();
    else if (event.key === "Backspace" || event.key === "Delete") this.removeLast();
    else if (event.key === "Escape") this.change(() => (this.corners = []), "Area dropped.");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const text = (corners) => corners.map((corner) => corner.join()).join(" ");
    const shapes = this.areas.ignored.map((corners) => shape("polygon", { points: text(corners), class: "area" }));
    if (this.areas.region_of_interest.length) {
      const inside = this.areas.region_of_interest.map((corners) => `M${corners.map((one) => one.join()).join("L")}Z`);
      shapes.push(shape("path", { d: `M0,0H1V1H0Z${inside.join("")}`, class: "outside" }));
    }
    if (this.box) shapes.push(shape("polygon", { points: text(this.box), class: "drawn" }));
    if (this.corners.length) shapes.push(shape("polyline", { points: text([...this.corners, this.cross]), class: "drawn" }));
    this.one("svg").replaceChildren(...shapes);
    const cross = this.one(".cross");
    cross.hidden = this.stage.getRootNode().activeElement !== this.stage;
    cross.style.left = `${100 * this.cross[0]}%`;
    cross.style.top = `${100 * this.cross[1]}%`;
    for (const kind of ["ignored", "region_of_interest"]) this.one(`.${kind}`).setAttribute("aria-pressed", kind === this.kind);
    for (const name of [".back", ".empty", ".save"]) this.one(name).disabled = !this.mayEdit;
  }
}

function shape(kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export default function maskEditor({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".editor");
  if (!editors.has(root)) editors.set(root, new Editor(root));
  editors.get(root).show(data, (areas) => setTriggerValue("save", areas));
}
