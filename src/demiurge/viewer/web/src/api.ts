/** Questions to the server, and the shapes of its answers. */

export type Show = "height" | "difference" | "uncertainty" | "image" | "index" | "class";

export interface Layer {
  key: string;
  title: string;
  group: string;
  show: Show;
  unit: string;
  low: number;
  high: number;
  uncertainty: string;
  bounds: [number, number, number, number];
  shape: [number, number];
  pixel_size: number | null;
  crs: string;
}

export interface Catalogue {
  layers: Layer[];
  reports: { key: string; name: string }[];
  notes: string[];
  local: boolean;
  version: string;
  live: boolean;
  /** Nine colours of each ramp, from low to high. */
  ramps: Record<string, string[]>;
}

export interface PointAnswer {
  x: number;
  y: number;
  crs: string;
  local: boolean;
  lon: number;
  lat: number;
  values: Record<string, number[] | null>;
}

export interface ProfileAnswer {
  title: string;
  along: number[];
  values: Record<string, (number | null)[]>;
  uncertainty: Record<string, string>;
}

export interface StatisticsAnswer {
  key: string;
  title: string;
  unit: string;
  count: number;
  voids: number;
  step: number;
  mean: number;
  median: number;
  std: number;
  nmad: number;
  rmse: number;
  mae: number;
  p5: number;
  p95: number;
  min: number;
  max: number;
}

export interface Progress {
  live: boolean;
  done?: number;
  rows?: number;
  finished?: boolean;
}

export type Place = [number, number];

/** Ask the server; an answer that is not 2xx becomes an Error with the server's sentence. */
async function get<T>(path: string, query: Record<string, string | number> = {}): Promise<T> {
  const text = new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)])).toString();
  const answer = await fetch(text ? `${path}?${text}` : path);
  const body: unknown = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const detail = (body as { detail?: unknown }).detail;
    throw new Error(typeof detail === "string" ? detail : `the server answered ${answer.status}`);
  }
  return body as T;
}

export const api = {
  catalogue: () => get<Catalogue>("api/catalogue"),
  layer: (key: string) => get<Layer>("api/layer", { key }),
  point: ([lon, lat]: Place) => get<PointAnswer>("api/point", { lon, lat }),
  profile: ([lon1, lat1]: Place, [lon2, lat2]: Place) =>
    get<ProfileAnswer>("api/profile", { lon1, lat1, lon2, lat2 }),
  statistics: (key: string, [lon1, lat1]: Place, [lon2, lat2]: Place) =>
    get<StatisticsAnswer>("api/statistics", {
      key,
      west: Math.min(lon1, lon2),
      south: Math.min(lat1, lat2),
      east: Math.max(lon1, lon2),
      north: Math.max(lat1, lat2),
    }),
  progress: () => get<Progress>("api/progress"),
};
