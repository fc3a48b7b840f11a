/** The map without WebGL: tiles as pictures, in two dimensions. */

import type { Layer, Place } from "./api";
import type { Stage } from "./stage";
import { nativeZoom, tilesOf, type State, type View } from "./state";

const SIZE = 256;

export class Flat implements Stage {
  readonly element: HTMLElement;
  private readonly tiles = document.createElement("div");
  private readonly drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  private centre: View = { lon: 0, lat: 0, zoom: 2, pitch: 0, bearing: 0 };
  private address = "";
  private bounds: Layer["bounds"] = [-180, -85, 180, 85];
  private deepest = 20;
  private opacity = 1;
  private places: Place[] = [];
  private closed = false;
  private moved: (view: View) => void = () => undefined;
  private clicked: (place: Place) => void = () => undefined;

  constructor(element: HTMLElement, background: string, title: string, _controls: boolean) {
    this.element = element;
    element.style.background = background;
    element.classList.add("flat");
    this.tiles.className = "tiles";
    this.drawing.setAttribute("class", "drawing");
    element.append(this.tiles, this.drawing);
    element.tabIndex = 0;
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", title);
    this.listen();
  }

  show(layer: Layer, _terrain: Layer | undefined, state: State, version: number): void {
    this.address = tilesOf(layer, state, "ramp", version);
    this.bounds = layer.bounds;
    this.deepest = nativeZoom(layer) + 2;
    this.opacity = state.opacity;
    this.render();
  }

  draw(places: Place[], closed: boolean): void {
    this.places = places;
    this.closed = closed;
    this.render();
  }

  jump(view: View): void {
    this.centre = { ...view, pitch: 0, bearing: 0 };
    this.render();
  }

  view(): View {
    return this.centre;
  }

  fit([west, south, east, north]: Layer["bounds"]): void {
    const [x0, y0] = project([west, north]);
    const [x1, y1] = project([east, south]);
    const width = Math.max(this.element.clientWidth - 60, 64);
    const height = Math.max(this.element.clientHeight - 60, 64);
    const zoom = Math.log2(Math.min(width / (x1 - x0 || 1e-9), height / (y1 - y0 || 1e-9)) / SIZE);
    const [lon, lat] = unproject([(x0 + x1) / 2, (y0 + y1) / 2]);
    this.change({ lon, lat, zoom });
  }

  onMove(handler: (view: View) => void): void {
    this.moved = handler;
  }

  onClick(handler: (place: Place) => void): void {
    this.clicked = handler;
  }

  resize(): void {
    this.render();
  }

  private change(part: Partial<View>): void {
    this.centre = { ...this.centre, ...part };
    this.centre.zoom = Math.min(Math.max(this.centre.zoom, 0), 24);
    this.render();
    this.moved(this.centre);
  }

  private place(x: number, y: number): Place {
    const scale = SIZE * 2 ** this.centre.zoom;
    const [cx, cy] = project([this.centre.lon, this.centre.lat]);
    return unproject([cx + (x - this.element.clientWidth / 2) / scale, cy + (y - this.element.clientHeight / 2) / scale]);
  }

  private point(place: Place): [number, number] {
    const scale = SIZE * 2 ** this.centre.zoom;
    const [cx, cy] = project([this.centre.lon, this.centre.lat]);
    const [x, y] = project(place);
    return [(x - cx) * scale + this.element.clientWidth / 2, (y - cy) * scale + this.element.clientHeight / 2];
  }

  private render(): void {
    if (!this.address || !this.element.clientWidth) return;
    const z = Math.min(Math.max(Math.round(this.centre.zoom), 0), this.deepest);
    const size = SIZE * 2 ** (this.centre.zoom - z);
    const count = 2 ** z;
    const [left, top] = project(this.place(0, 0)).map((v) => Math.floor(v * count)) as Place;
    const [right, bottom] = project(this.place(this.element.clientWidth, this.element.clientHeight)).map((v) => Math.floor(v * count)) as Place;
    const [west, north] = project([this.bounds[0], this.bounds[3]]).map((v) => Math.floor(v * count)) as Place;
    const [east, south] = project([this.bounds[2], this.bounds[1]]).map((v) => Math.floor(v * count)) as Place;
    const kept = new Map([...this.tiles.children].map((e) => [(e as HTMLImageElement).src, e as HTMLImageElement]));
    const used = new Set<string>();
    for (let y = Math.max(top, north); y <= Math.min(bottom, south); y++) {
      for (let x = Math.max(left, west); x <= Math.min(right, east); x++) {
        const src = this.address.replace("{z}", String(z)).replace("{x}", String(x)).replace("{y}", String(y));
        const image = kept.get(src) ?? this.picture(src);
        used.add(src);
        const [px, py] = this.point(unproject([x / count, y / count]));
        image.style.transform = `translate(${px}px, ${py}px) scale(${size / SIZE})`;
        image.style.opacity = String(this.opacity);
      }
    }
    for (const [src, image] of kept) if (!used.has(src)) image.remove();
    this.sketch();
  }

  private picture(src: string): HTMLImageElement {
    const image = document.createElement("img");
    image.src = src;
    image.alt = "";
    image.draggable = false;
    this.tiles.append(image);
    return image;
  }

  private sketch(): void {
    const points = this.places.map((p) => this.point(p));
    const circles = points.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="5"/>`).join("");
    const [a, b] = points;
    let shape = "";
    if (a && b && this.closed) {
      const [x, y, w, h] = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
      shape = `<rect x="${x}" y="${y}" width="${w}" height="${h}"/>`;
    } else if (a && b) {
      shape = `<line x1="${a[0]}" y1="${a[1]}" x2="${b[0]}" y2="${b[1]}"/>`;
    }
    this.drawing.innerHTML = shape + circles;
  }

  private listen(): void {
    let start: [number, number] | null = null;
    let dragged = false;
    this.element.addEventListener("pointerdown", (event) => {
      start = [event.clientX, event.clientY];
      dragged = false;
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [dx, dy] = [event.clientX - start[0], event.clientY - start[1]];
      if (!dragged && Math.hypot(dx, dy) < 4) return;
      dragged = true;
      start = [event.clientX, event.clientY];
      const [lon, lat] = this.place(this.element.clientWidth / 2 - dx, this.element.clientHeight / 2 - dy);
      this.change({ lon, lat });
    });
    this.element.addEventListener("pointerup", (event) => {
      const box = this.element.getBoundingClientRect();
      if (!dragged) this.clicked(this.place(event.clientX - box.left, event.clientY - box.top));
      start = null;
    });
    this.element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.change({ zoom: this.centre.zoom - Math.sign(event.deltaY) * 0.5 });
    }, { passive: false });
    this.element.addEventListener("keydown", (event) => {
      const step: Record<string, [number, number]> = { ArrowLeft: [-80, 0], ArrowRight: [80, 0], ArrowUp: [0, -80], ArrowDown: [0, 80] };
      const by = step[event.key];
      if (by) {
        const [lon, lat] = this.place(this.element.clientWidth / 2 + by[0], this.element.clientHeight / 2 + by[1]);
        this.change({ lon, lat });
        event.preventDefault();
      }
      if (event.key === "+" || event.key === "=") this.change({ zoom: this.centre.zoom + 0.5 });
      if (event.key === "-") this.change({ zoom: this.centre.zoom - 0.5 });
    });
  }
}

/** Longitude and latitude to Web Mercator in 0 … 1. */
function project([lon, lat]: Place): Place {
  const sine = Math.sin((lat * Math.PI) / 180);
  return [(lon + 180) / 360, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
}

function unproject([x, y]: Place): Place {
  return [x * 360 - 180, (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI];
}
