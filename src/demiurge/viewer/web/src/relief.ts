/** The map with WebGL: MapLibre, with terrain in three dimensions. */

import { Map as MapLibre, NavigationControl, ScaleControl, setWorkerUrl } from "maplibre-gl";
import type { GeoJSONSource, RasterTileSource } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import "maplibre-gl/dist/maplibre-gl.css";
import type { Layer, Place } from "./api";
import type { Stage } from "./stage";
import { nativeZoom, tilesOf, type State, type View } from "./state";

setWorkerUrl(new URL(workerUrl, document.baseURI).href);

export class Relief implements Stage {
  readonly element: HTMLElement;
  private readonly map: MapLibre;
  private ready = false;
  private waiting: (() => void) | null = null;
  private shown = "";
  private ground = "";
  private exaggeration = 1;
  private quiet = false;

  constructor(element: HTMLElement, background: string, title: string, controls: boolean) {
    this.element = element;
    this.map = new MapLibre({
      container: element,
      style: {
        version: 8,
        sources: { marks: { type: "geojson", data: marks([], false) } },
        layers: [
          { id: "background", type: "background", paint: { "background-color": background } },
          { id: "mark-fill", type: "fill", source: "marks", paint: { "fill-color": "#d9480f", "fill-opacity": 0.12 } },
          { id: "mark-line", type: "line", source: "marks", paint: { "line-color": "#d9480f", "line-width": 2.5 } },
          {
            id: "mark-point",
            type: "circle",
            source: "marks",
            filter: ["==", ["geometry-type"], "Point"],
            paint: { "circle-radius": 5, "circle-color": "#d9480f", "circle-stroke-color": "#fff", "circle-stroke-width": 1.5 },
          },
        ],
      },
      attributionControl: false,
      maxPitch: 80,
      maxZoom: 24,
      fadeDuration: 0,
      locale: { "Map.Title": title },
    });
    if (controls) {
      this.map.addControl(new NavigationControl({ visualizePitch: true }), "top-right");
      this.map.addControl(new ScaleControl({ unit: "metric" }), "bottom-right");
    }
    this.map.on("load", () => {
      this.ready = true;
      this.waiting?.();
      this.waiting = null;
    });
  }

  show(layer: Layer, terrain: Layer | undefined, state: State, version: number): void {
    if (!this.ready) {
      this.waiting = () => this.show(layer, terrain, state, version);
      return;
    }
    this.paint("shown", layer, tilesOf(layer, state, "ramp", version), state.opacity);
    const heights = terrain && state.contours ? terrain : undefined;
    this.paint("contours", heights, heights ? tilesOf(heights, state, "contours", version) : "", 1);
    this.raise(state.terrain ? terrain : undefined, state, version);
  }

  /** Show, change or remove a raster layer. */
  private paint(name: string, layer: Layer | undefined, tiles: string, opacity: number): void {
    const source = this.map.getSource<RasterTileSource>(name);
    const same = source && layer && this.shown.includes(`${name}:${layer.key};`);
    if (same) {
      source.setTiles([tiles]);
    } else {
      if (source) {
        this.map.removeLayer(name);
        this.map.removeSource(name);
      }
      this.shown = this.shown.replace(new RegExp(`${name}:[^;]*;`), "");
      if (!layer) return;
      this.shown += `${name}:${layer.key};`;
      this.map.addSource(name, {
        type: "raster", tiles: [tiles], tileSize: 256, bounds: layer.bounds,
        maxzoom: Math.min(nativeZoom(layer) + 2, 24),
      });
      const above = name === "shown" && this.map.getLayer("contours") ? "contours" : "mark-fill";
      this.map.addLayer({ id: name, type: "raster", source: name, paint: { "raster-fade-duration": 0 } }, above);
    }
    this.map.setPaintProperty(name, "raster-opacity", opacity);
  }

  /** Raise the map by a layer of heights, or lay it flat. */
  private raise(layer: Layer | undefined, state: State, version: number): void {
    const wanted = layer ? `${layer.key}/${version}` : "";
    if (wanted !== this.ground) {
      this.map.setTerrain(null);
      if (this.map.getSource("ground")) this.map.removeSource("ground");
      if (layer) {
        this.map.addSource("ground", {
          type: "raster-dem", tiles: [tilesOf(layer, state, "terrain", version)], tileSize: 256,
          encoding: "terrarium", bounds: layer.bounds, maxzoom: nativeZoom(layer),
        });
      }
      this.ground = wanted;
      // Heights that arrive after the terrain was set do not show until it is set again.
      if (layer) this.map.once("idle", () => this.lift(wanted));
    }
    this.exaggeration = state.exaggeration;
    if (layer) this.lift(wanted);
  }

  private lift(ground: string): void {
    if (ground !== this.ground || !this.map.getSource("ground")) return;
    this.map.setTerrain({ source: "ground", exaggeration: this.exaggeration });
  }

  draw(places: Place[], closed: boolean): void {
    this.map.getSource<GeoJSONSource>("marks")?.setData(marks(places, closed));
  }

  jump(view: View): void {
    this.quiet = true;
    this.map.jumpTo({ center: [view.lon, view.lat], zoom: view.zoom, pitch: view.pitch, bearing: view.bearing });
    this.quiet = false;
  }

  view(): View {
    const { lng, lat } = this.map.getCenter();
    return { lon: lng, lat, zoom: this.map.getZoom(), pitch: this.map.getPitch(), bearing: this.map.getBearing() };
  }

  fit(bounds: Layer["bounds"]): void {
    this.map.fitBounds(bounds, { padding: 30, duration: 0 });
  }

  onMove(handler: (view: View) => void): void {
    this.map.on("move", () => {
      if (!this.quiet) handler(this.view());
    });
  }

  onClick(handler: (place: Place) => void): void {
    this.map.on("click", (event) => handler([event.lngLat.lng, event.lngLat.lat]));
  }

  resize(): void {
    this.quiet = true;
    this.map.resize();
    this.quiet = false;
  }
}

type Marks = Parameters<GeoJSONSource["setData"]>[0];

function marks(places: Place[], closed: boolean): Marks {
  const features: unknown[] = places.map((place) => ({
    type: "Feature", properties: {}, geometry: { type: "Point", coordinates: place },
  }));
  const [first, second] = places;
  if (first && second && !closed) {
    features.push({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: places } });
  }
  if (first && second && closed) {
    const ring = [first, [second[0], first[1]], second, [first[0], second[1]], first];
    features.push({ type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [ring] } });
  }
  return { type: "FeatureCollection", features } as Marks;
}
