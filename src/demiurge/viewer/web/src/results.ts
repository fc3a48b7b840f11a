/** The results below the map: values, profiles, statistics. */

import type { Catalogue, Layer, PointAnswer, ProfileAnswer, StatisticsAnswer } from "./api";
import { profileChart } from "./chart";
import { figure, make } from "./dom";

export class Results {
  constructor(
    private readonly element: HTMLElement,
    private readonly catalogue: Catalogue,
    private readonly closed: () => void,
  ) {}

  point(answer: PointAnswer): void {
    const place = answer.local
      ? `x ${answer.x.toFixed(2)} m, y ${answer.y.toFixed(2)} m (local frame)`
      : `x ${answer.x.toFixed(2)}, y ${answer.y.toFixed(2)} (${answer.crs}); longitude ${answer.lon.toFixed(6)}°, latitude ${answer.lat.toFixed(6)}°`;
    const titles = new Map(this.catalogue.layers.map((l) => [l.key, l]));
    const uncertainties = new Set(this.catalogue.layers.map((l) => l.uncertainty).filter(Boolean));
    const rows = Object.entries(answer.values).flatMap(([key, values]) => {
      const layer = titles.get(key);
      if (!layer || uncertainties.has(key)) return [];
      const deviation = answer.values[layer.uncertainty]?.[0];
      return [[layer.title, text(layer, values), deviation === undefined ? "" : `± ${figure(deviation, layer.unit)}`]];
    });
    this.show("Values", place, table(["layer", "value", "standard deviation"], rows));
  }

  profile(answer: ProfileAnswer): void {
    this.show("Profile", answer.title, profileChart(answer, this.catalogue.layers));
  }

  statistics(answer: StatisticsAnswer): void {
    const f = (v: number) => figure(v, answer.unit);
    const rows = [
      ["median", f(answer.median)], ["mean", f(answer.mean)], ["NMAD", f(answer.nmad)],
      ["standard deviation", f(answer.std)], ["RMSE", f(answer.rmse)], ["mean absolute", f(answer.mae)],
      ["5 to 95 %", `${f(answer.p5)} to ${f(answer.p95)}`], ["least, most", `${f(answer.min)}, ${f(answer.max)}`],
    ];
    const thinned = answer.step > 1 ? `, every ${answer.step}th row and column` : "";
    this.show(answer.title, `${answer.count} pixels, ${answer.voids} without a value${thinned}`, table(["figure", "value"], rows));
  }

  private show(title: string, about: string, content: HTMLElement): void {
    const close = make("button", { type: "button", "aria-label": "Close the results" }, "Close");
    close.addEventListener("click", () => {
      this.element.hidden = true;
      this.closed();
    });
    this.element.replaceChildren(
      make("div", { class: "head" }, make("h2", {}, title), close),
      make("p", { class: "about" }, about),
      content,
    );
    this.element.hidden = false;
  }
}

function text(layer: Layer, values: number[] | null): string {
  if (!values) return "no data";
  return values.map((v) => figure(v, layer.unit)).join(", ");
}

function table(head: string[], rows: string[][]): HTMLElement {
  const titles = make("tr", {}, ...head.map((t) => make("th", { scope: "col" }, t)));
  const body = rows.map(([first = "", ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((t) => make("td", {}, t))));
  return make("table", {}, make("thead", {}, titles), make("tbody", {}, ...body));
}
