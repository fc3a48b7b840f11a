/** The legend: ramp, range and unit of the layers shown. */

import type { Layer } from "./api";
import { figure, make } from "./dom";
import { rampOf, rangeOf, type State } from "./state";

export function drawLegend(
  element: HTMLElement,
  layers: Layer[],
  state: State,
  ramps: Record<string, string[]>,
): void {
  element.replaceChildren(...layers.map((layer) => entry(layer, state, ramps)));
}

function entry(layer: Layer, state: State, ramps: Record<string, string[]>): HTMLElement {
  const title = make("strong", {}, layer.title);
  if (layer.show === "image" && layer.unit === "DN") return make("div", { class: "entry" }, title);
  const [low, high] = rangeOf(layer, state);
  const bar = make("div", { class: "bar" });
  bar.style.background = `linear-gradient(to right, ${(ramps[rampOf(layer, state)] ?? []).join(",")})`;
  const middle = (low + high) / 2;
  const ticks = make("div", { class: "ticks" }, ...[low, middle, high].map((v) => make("span", {}, figure(v, layer.unit))));
  return make("div", { class: "entry" }, title, bar, ticks);
}
