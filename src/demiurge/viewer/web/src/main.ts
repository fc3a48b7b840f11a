/** The page: catalogue, two maps, settings, tools. */

import { api, type Catalogue, type Layer, type Place } from "./api";
import { byId } from "./dom";
import { Flat } from "./flat";
import { drawLegend } from "./legend";
import { Panel } from "./panel";
import { Results } from "./results";
import { hasWebGl, type Stage } from "./stage";
import { initialState, recall, remember, type State, type View } from "./state";
import "./style.css";

const status = byId("status");

class App {
  private readonly state: State;
  private readonly layers: Map<string, Layer>;
  private readonly panel: Panel;
  private readonly results: Results;
  private readonly swipe = byId<HTMLInputElement>("swipe");
  private places: Place[] = [];
  private version = 0;

  constructor(
    private readonly catalogue: Catalogue,
    private readonly a: Stage,
    private readonly b: Stage,
  ) {
    this.layers = new Map(catalogue.layers.map((l) => [l.key, l]));
    this.state = recall(initialState(catalogue), location.hash);
    this.panel = new Panel(byId<HTMLFormElement>("panel"), catalogue, this.state,
      (what) => void this.changed(what), () => this.zoom());
    this.results = new Results(byId("results"), catalogue, () => {
      this.mark([]);
      this.resize();
    });
    for (const stage of [a, b]) {
      stage.onMove((view) => this.moved(stage, view));
      stage.onClick((place) => void this.click(place));
      stage.element.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        const { lon, lat } = stage.view();
        void this.click([lon, lat]);
      });
    }
    this.swipe.addEventListener("input", () => {
      this.state.swipe = Number(this.swipe.value);
      this.split();
      remember(this.state);
    });
    window.addEventListener("hashchange", () => {
      recall(this.state, location.hash);
      void this.refresh();
    });
    window.addEventListener("resize", () => this.resize());
  }

  async start(): Promise<void> {
    // The maps report moves of their own while they start.
    const wanted = this.state.view;
    await this.refresh();
    if (wanted) this.moveAll(wanted);
    else this.zoom();
    if (this.catalogue.live) void this.follow();
  }

  private async changed(what: keyof State): Promise<void> {
    if (what === "tool") this.mark([]);
    const tilted = this.state.view?.pitch ?? 0;
    await this.refresh();
    if (what === "terrain") {
      const pitch = this.state.terrain ? Math.max(tilted, 60) : 0;
      this.moveAll({ ...this.a.view(), pitch });
    }
    if (what === "layer" && this.far(this.current())) this.zoom();
  }

  /** Show what the state says. */
  private async refresh(): Promise<void> {
    const shown = await this.layer(this.state.layer);
    const other = this.state.compare ? await this.layer(this.state.compare) : undefined;
    if (!shown) return;
    const terrain = this.terrainOf(shown);
    this.a.show(shown, terrain, this.state, this.version);
    this.b.element.hidden = !other;
    this.swipe.hidden = !other;
    if (other) {
      this.b.resize();
      this.b.jump(this.a.view());
      this.b.show(other, this.terrainOf(other), this.state, this.version);
    }
    this.split();
    drawLegend(byId("legend"), other ? [shown, other] : [shown], this.state, this.catalogue.ramps);
    this.panel.update(shown);
    this.hint();
    remember(this.state);
  }

  /** Find a layer; a difference is asked of the server once. */
  private async layer(key: string): Promise<Layer | undefined> {
    const known = this.layers.get(key);
    if (known) return known;
    try {
      if (key === "?") throw new Error("choose two layers of heights first: a layer, and one to compare with");
      const made = await api.layer(key);
      this.layers.set(key, made);
      this.panel.add(made);
      return made;
    } catch (error) {
      say(error);
      this.state.layer = this.catalogue.layers[0]?.key ?? "";
      this.state.compare = "";
      this.panel.update();
      return this.layers.get(this.state.layer);
    }
  }

  private current(): Layer | undefined {
    return this.layers.get(this.state.layer);
  }

  /** The heights under a layer: its own, or the first at its place. */
  private terrainOf(layer: Layer): Layer | undefined {
    if (layer.show === "height") return layer;
    const heights = this.catalogue.layers.filter((l) => l.show === "height");
    return heights.find((l) => l.key === layer.key.split("-")[0])
      ?? heights.find((l) => l.group === layer.group) ?? heights.find((l) => overlap(l, layer));
  }

  private far(layer: Layer | undefined): boolean {
    if (!layer) return false;
    const { lon, lat } = this.a.view();
    const [west, south, east, north] = layer.bounds;
    return lon < west || lon > east || lat < south || lat > north;
  }

  private zoom(): void {
    const layer = this.current();
    if (layer) this.a.fit(layer.bounds);
    this.moved(this.a, this.a.view());
  }

  private moved(from: Stage, view: View): void {
    if (from.element.hidden) return;
    this.state.view = view;
    const other = from === this.a ? this.b : this.a;
    if (!this.b.element.hidden) other.jump(view);
    remember(this.state);
  }

  private moveAll(view: View): void {
    this.a.jump(view);
    this.moved(this.a, view);
  }

  private split(): void {
    const share = this.swipe.hidden ? 0 : this.state.swipe;
    this.b.element.style.clipPath = `inset(0 0 0 ${share}%)`;
    this.swipe.value = String(this.state.swipe);
    byId("maps").style.setProperty("--swipe", `${this.state.swipe}%`);
    byId("maps").classList.toggle("swiping", !this.swipe.hidden);
  }

  private hint(): void {
    const texts = {
      point: "Click, or focus the map and press Enter, for the values at a place.",
      line: "Click the two ends of a line.",
      box: "Click two corners of a box; the figures are of the layer shown.",
    };
    byId("hint").textContent = texts[this.state.tool];
  }

  private mark(places: Place[]): void {
    this.places = places;
    for (const stage of [this.a, this.b]) stage.draw(places, this.state.tool === "box");
  }

  private async click(place: Place): Promise<void> {
    const { tool } = this.state;
    const started = this.places.length === 1 && tool !== "point";
    this.mark(started ? [...this.places, place] : [place]);
    const [first, second] = this.places;
    try {
      if (tool === "point") this.results.point(await api.point(place));
      else if (first && second && tool === "line") this.results.profile(await api.profile(first, second));
      else if (first && second) this.results.statistics(await api.statistics(this.state.layer, first, second));
      else return;
      say("");
      this.resize();
    } catch (error) {
      say(error);
    }
  }

  private resize(): void {
    for (const stage of [this.a, this.b]) stage.resize();
  }

  /** Follow a running prediction: finished rows appear as they come. */
  private async follow(): Promise<void> {
    let before = -1;
    for (;;) {
      const now = await api.progress().catch(() => undefined);
      if (!now) return;
      if (now.done !== before) {
        before = now.done ?? 0;
        this.version += 1;
        say(now.finished ? "finished" : `${before} of ${now.rows ?? 0} rows`);
        await this.refresh();
      }
      if (now.finished) return;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}

function overlap(one: Layer, other: Layer): boolean {
  const [w, s, e, n] = one.bounds;
  const [w2, s2, e2, n2] = other.bounds;
  return w < e2 && w2 < e && s < n2 && s2 < n;
}

function say(what: unknown): void {
  status.textContent = what instanceof Error ? what.message : String(what ?? "");
}

async function main(): Promise<void> {
  const catalogue = await api.catalogue();
  const webgl = hasWebGl();
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const background = dark ? "#15181c" : "#eef0f2";
  const build = (id: string, title: string): Stage =>
    new Drawn(byId(id), background, title, id === "map-a");
  const Drawn = webgl ? (await import("./relief")).Relief : Flat;
  const app = new App(catalogue, build("map-a", "Map"), build("map-b", "Map of the second layer"));
  const toggle = byId("toggle-panel");
  toggle.addEventListener("click", () => {
    const open = document.body.classList.toggle("closed") === false;
    toggle.setAttribute("aria-expanded", String(open));
    window.dispatchEvent(new Event("resize"));
  });
  await app.start();
  if (!webgl) say("This browser has no WebGL: maps are flat pictures, without 3D terrain.");
  document.body.dataset["ready"] = "true";
}

main().catch(say);
