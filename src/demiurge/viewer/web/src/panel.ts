/** The form with all settings. */

import type { Catalogue, Layer } from "./api";
import { make } from "./dom";
import { RAMPS, type State, type Tool } from "./state";

const TOOLS: [Tool, string][] = [
  ["point", "Values at a point"],
  ["line", "Profile along a line"],
  ["box", "Statistics of a box"],
];

export class Panel {
  constructor(
    private readonly form: HTMLFormElement,
    private readonly catalogue: Catalogue,
    private readonly state: State,
    private readonly changed: (what: keyof State) => void,
    private readonly zoomTo: () => void,
  ) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(
      this.section("Layers",
        this.select("layer", "Layer", this.options()),
        this.select("compare", "Compare with (swipe)", [["", "nothing"], ...this.options()]),
        this.button("Difference of the two", () => this.showDifference()),
        this.button("Zoom to the layer", () => this.zoomTo()),
      ),
      this.section("Colours",
        this.select("ramp", "Ramp of heights", RAMPS.filter((r) => r !== "coolwarm").map((r) => [r, r])),
        this.number("low", "Lowest height", ""),
        this.number("high", "Highest height", ""),
        this.range("opacity", "Opacity", 0, 1, 0.05),
        this.check("shade", "Shaded relief"),
        this.check("contours", "Contour lines"),
      ),
      this.section("Relief and light",
        this.check("terrain", "3D terrain"),
        this.range("exaggeration", "Vertical exaggeration", 0.5, 6, 0.1),
        this.range("azimuth", "Sun azimuth, degrees", 0, 360, 5),
        this.range("elevation", "Sun elevation, degrees", 5, 90, 5),
      ),
      this.section("Click on the map", this.tools()),
    );
    this.lists();
  }

  /** Show the state's values in the form; empty limits show the range of the layer. */
  update(layer?: Layer): void {
    for (const name of ["low", "high"] as const) {
      const input = this.form.querySelector<HTMLInputElement>(`[name=${name}]`);
      if (input && layer?.show === "height") input.placeholder = layer[name].toFixed(2);
    }
    for (const field of this.form.querySelectorAll<HTMLInputElement | HTMLSelectElement>("[name]")) {
      const value = this.state[field.name as keyof State];
      if (field.name === "ramp" && !value) field.value = "viridis";
      else if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = Boolean(value);
      else if (field instanceof HTMLInputElement && field.type === "radio") field.checked = field.value === value;
      else field.value = value === null ? "" : String(value);
      const shown = this.form.querySelector(`output[for="f-${field.name}"]`);
      if (shown) shown.textContent = String(value);
    }
  }

  /** Add a layer that was made in the page, such as a difference. */
  add(layer: Layer): void {
    for (const name of ["layer", "compare"]) {
      const select = this.form.querySelector<HTMLSelectElement>(`[name=${name}]`);
      if (select && ![...select.options].some((o) => o.value === layer.key)) {
        select.append(make("option", { value: layer.key }, layer.title));
      }
    }
  }

  private showDifference(): void {
    const { layer, compare } = this.state;
    if (layer && compare && layer !== compare && !layer.includes("-") && !compare.includes("-")) {
      this.state.layer = `${layer}-${compare}`;
      this.state.compare = "";
    } else {
      this.state.layer = "?";
    }
    this.changed("layer");
  }

  private options(): [string, string][] {
    const many = new Set(this.catalogue.layers.map((l) => l.group)).size > 1;
    const titled = (l: Layer) => (many && !l.title.startsWith(l.group) ? `${l.group}: ${l.title}` : l.title);
    return this.catalogue.layers.map((l) => [l.key, titled(l)]);
  }

  private section(title: string, ...parts: HTMLElement[]): HTMLElement {
    return make("fieldset", {}, make("legend", {}, title), ...parts);
  }

  private field(name: string, label: string, input: HTMLElement, ...more: HTMLElement[]): HTMLElement {
    input.id = `f-${name}`;
    input.setAttribute("name", name);
    return make("div", { class: "field" }, make("label", { for: input.id }, label), input, ...more);
  }

  private select(name: keyof State, label: string, options: [string, string][]): HTMLElement {
    const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
    select.addEventListener("change", () => this.set(name, select.value));
    return this.field(name, label, select);
  }

  private number(name: keyof State, label: string, placeholder: string): HTMLElement {
    const input = make("input", { type: "number", step: "any", placeholder });
    input.addEventListener("change", () => {
      const value = Number.parseFloat(input.value);
      this.set(name, Number.isFinite(value) ? value : null);
    });
    return this.field(name, label, input);
  }

  private range(name: keyof State, label: string, min: number, max: number, step: number): HTMLElement {
    const input = make("input", { type: "range", min: String(min), max: String(max), step: String(step) });
    const shown = make("output", { for: `f-${name}` });
    let timer = 0;
    input.addEventListener("input", () => {
      shown.textContent = input.value;
      window.clearTimeout(timer);
      timer = window.setTimeout(() => this.set(name, Number(input.value)), 120);
    });
    return this.field(name, label, input, shown);
  }

  private check(name: keyof State, label: string): HTMLElement {
    const input = make("input", { type: "checkbox", id: `f-${name}`, name });
    input.addEventListener("change", () => this.set(name, input.checked));
    return make("div", { class: "field check" }, input, make("label", { for: input.id }, label));
  }

  private button(text: string, action: () => void): HTMLElement {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", action);
    return button;
  }

  private tools(): HTMLElement {
    const rows = TOOLS.map(([tool, label]) => {
      const input = make("input", { type: "radio", name: "tool", value: tool, id: `tool-${tool}` });
      input.addEventListener("change", () => this.set("tool", tool));
      return make("div", { class: "field check" }, input, make("label", { for: input.id }, label));
    });
    return make("div", { role: "radiogroup", "aria-label": "Click on the map" }, ...rows);
  }

  private lists(): void {
    const { reports, notes, version } = this.catalogue;
    if (reports.length) {
      const links = reports.map((r) =>
        make("li", {}, make("a", { href: `reports/${r.key}`, target: "_blank", rel: "noopener" }, r.name)));
      this.form.append(this.section("Reports", make("ul", {}, ...links)));
    }
    if (notes.length) {
      this.form.append(this.section("Notes", make("ul", {}, ...notes.map((n) => make("li", {}, n)))));
    }
    this.form.append(make("p", { class: "version" }, `demiurge ${version}`));
  }

  private set<K extends keyof State>(name: K, value: unknown): void {
    this.state[name] = value as State[K];
    this.changed(name);
  }
}
