/** What is shown. The address keeps it, so that a link shows the same. */

import type { Catalogue, Layer } from "./api";

export type Tool = "point" | "line" | "box";

export interface View {
  lon: number;
  lat: number;
  zoom: number;
  pitch: number;
  bearing: number;
}

export interface State {
  layer: string;
  compare: string;
  ramp: string;
  low: number | null;
  high: number | null;
  opacity: number;
  shade: boolean;
  contours: boolean;
  terrain: boolean;
  exaggeration: number;
  azimuth: number;
  elevation: number;
  swipe: number;
  tool: Tool;
  view: View | null;
}

export function initialState(catalogue: Catalogue): State {
  const first = catalogue.layers.find((l) => l.show === "height") ?? catalogue.layers[0];
  return {
    layer: first?.key ?? "",
    compare: "",
    ramp: "",
    low: null,
    high: null,
    opacity: 1,
    shade: true,
    contours: false,
    terrain: false,
    exaggeration: 1.5,
    azimuth: 315,
    elevation: 45,
    swipe: 50,
    tool: "point",
    view: null,
  };
}

/** Write the state into the address. */
export function remember(state: State): void {
  const parts = new URLSearchParams();
  const v = state.view;
  if (v) parts.set("at", [v.lon.toFixed(7), v.lat.toFixed(7), v.zoom.toFixed(4), v.pitch.toFixed(1), v.bearing.toFixed(1)].join(","));
  parts.set("layer", state.layer);
  if (state.compare) parts.set("compare", state.compare);
  if (state.ramp) parts.set("ramp", state.ramp);
  if (state.low !== null) parts.set("low", String(state.low));
  if (state.high !== null) parts.set("high", String(state.high));
  if (state.opacity !== 1) parts.set("opacity", String(state.opacity));
  if (!state.shade) parts.set("shade", "0");
  if (state.contours) parts.set("contours", "1");
  if (state.terrain) parts.set("3d", "1");
  parts.set("exaggeration", String(state.exaggeration));
  parts.set("sun", `${state.azimuth},${state.elevation}`);
  if (state.compare) parts.set("swipe", String(state.swipe));
  history.replaceState(null, "", `#${parts.toString()}`);
}

/** Read the state from the address; what is absent or wrong keeps its default. */
export function recall(state: State, hash: string): State {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name: string, low: number, high: number): number | null => {
    const value = Number.parseFloat(parts.get(name) ?? "");
    return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : null;
  };
  const key = /^L\d{1,3}(-L\d{1,3})?$/;
  const layer = parts.get("layer");
  if (layer && key.test(layer)) state.layer = layer;
  const compare = parts.get("compare");
  if (compare && key.test(compare)) state.compare = compare;
  state.ramp = RAMPS.includes(parts.get("ramp") ?? "") ? (parts.get("ramp") as string) : "";
  state.low = number("low", -1e6, 1e6);
  state.high = number("high", -1e6, 1e6);
  state.opacity = number("opacity", 0, 1) ?? 1;
  state.shade = parts.get("shade") !== "0";
  state.contours = parts.get("contours") === "1";
  state.terrain = parts.get("3d") === "1";
  state.exaggeration = number("exaggeration", 0.1, 10) ?? state.exaggeration;
  const sun = (parts.get("sun") ?? "").split(",").map(Number);
  if (sun.length === 2 && sun.every(Number.isFinite)) {
    state.azimuth = Math.min(Math.max(sun[0] ?? 315, 0), 360);
    state.elevation = Math.min(Math.max(sun[1] ?? 45, 0), 90);
  }
  state.swipe = number("swipe", 0, 100) ?? 50;
  const at = (parts.get("at") ?? "").split(",").map(Number);
  if (at.length === 5 && at.every(Number.isFinite)) {
    const [lon, lat, zoom, pitch, bearing] = at as [number, number, number, number, number];
    state.view = { lon, lat, zoom, pitch, bearing };
  }
  return state;
}

/** Ramps that colour-blind people can read. */
export const RAMPS = ["viridis", "cividis", "batlow", "magma", "gray", "coolwarm"];

export function rampOf(layer: Layer, state: State): string {
  if (layer.show === "difference") return "coolwarm";
  if (layer.show === "image" || layer.show === "index" || layer.show === "class") return "gray";
  if (layer.show === "uncertainty") return "magma";
  return state.ramp || "viridis";
}

/** The range of a layer: that of the form for heights, its own for anything else. */
export function rangeOf(layer: Layer, state: State): [number, number] {
  if (layer.show !== "height") return [layer.low, layer.high];
  return [state.low ?? layer.low, state.high ?? layer.high];
}

/** Address of the tiles of a layer, with {z}, {x} and {y} to be replaced. */
export function tilesOf(layer: Layer, state: State, style = "ramp", version = 0): string {
  const query = new URLSearchParams({ layer: layer.key, style });
  if (style === "ramp") {
    const [low, high] = rangeOf(layer, state);
    query.set("ramp", rampOf(layer, state));
    query.set("low", String(low));
    query.set("high", String(high));
    if (state.shade && layer.show === "height") {
      query.set("shade", "0.6");
      query.set("azimuth", String(state.azimuth));
      query.set("elevation", String(state.elevation));
    }
  }
  if (version) query.set("v", String(version));
  const base = new URL("tiles/WebMercatorQuad/", document.baseURI).href;
  return `${base}{z}/{x}/{y}.png?${query.toString()}`;
}

/** The zoom level at which a tile's pixel is a pixel of the layer. */
export function nativeZoom(layer: Layer): number {
  const latitude = (layer.bounds[1] + layer.bounds[3]) / 2;
  const width = layer.bounds[2] - layer.bounds[0] || 1e-9;
  const size = layer.pixel_size ?? (width / layer.shape[1]) * 111320;
  const zoom = Math.log2((40075016.7 * Math.cos((latitude * Math.PI) / 180)) / (256 * size));
  return Math.min(Math.max(Math.ceil(zoom), 1), 24);
}
