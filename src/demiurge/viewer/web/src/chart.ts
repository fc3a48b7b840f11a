/** Profiles as an SVG chart with uncertainty bands, as picture and as CSV. */

import type { Layer, ProfileAnswer } from "./api";
import { download, make } from "./dom";

/** Colours that differ for colour-blind people (Okabe and Ito 2008), and dashes. */
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"];
const [WIDTH, HEIGHT] = [900, 300];
const BOX = { left: 64, right: 12, top: 12, bottom: 42 };

export function profileChart(answer: ProfileAnswer, layers: Layer[]): HTMLElement {
  const lines = layers.filter((l) => l.show === "height" && answer.values[l.key]);
  const svg = chart(answer, lines);
  const host = make("div", { class: "chart" });
  host.innerHTML = svg;
  const name = "profile";
  const picture = make("button", { type: "button" }, "Save picture");
  picture.addEventListener("click", () => void save(svg, `${name}.png`));
  const table = make("button", { type: "button" }, "Save CSV");
  table.addEventListener("click", () => download(`${name}.csv`, new Blob([csv(answer, layers)], { type: "text/csv" })));
  const keys = lines.map((l, i) => {
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    swatch.innerHTML = `<svg width="28" height="8"><line x1="0" x2="28" y1="4" y2="4" stroke="${COLOURS[i % 6]}" stroke-width="2.5" stroke-dasharray="${DASHES[i % 6]}"/></svg>`;
    return make("li", {}, swatch, l.title);
  });
  return make("div", {}, host, make("ul", { class: "keys" }, ...keys), make("p", { class: "actions" }, picture, table));
}

function chart(answer: ProfileAnswer, lines: Layer[]): string {
  const length = answer.along.at(-1) ?? 1;
  const known = lines.flatMap((l) => (answer.values[l.key] ?? []).filter((v): v is number => v !== null));
  if (!known.length) return `<p>No layer has heights along this line.</p>`;
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const room = Math.max((high - low) * 0.06, 0.05);
  [low, high] = [low - room, high + room];
  const x = (d: number) => BOX.left + (d / (length || 1)) * (WIDTH - BOX.left - BOX.right);
  const y = (h: number) => BOX.top + ((high - h) / (high - low)) * (HEIGHT - BOX.top - BOX.bottom);
  const parts: string[] = [];
  for (const h of steps(low, high, 5)) {
    parts.push(`<line class="grid" x1="${BOX.left}" x2="${WIDTH - BOX.right}" y1="${y(h)}" y2="${y(h)}"/>`,
      `<text x="${BOX.left - 6}" y="${y(h) + 4}" text-anchor="end">${h}</text>`);
  }
  for (const d of steps(0, length, 8)) {
    parts.push(`<text x="${x(d)}" y="${HEIGHT - BOX.bottom + 16}" text-anchor="middle">${d}</text>`);
  }
  parts.push(`<text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">distance, m</text>`,
    `<text transform="translate(14 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">height, ${lines[0]?.unit ?? "m"}</text>`);
  lines.forEach((layer, i) => {
    const heights = answer.values[layer.key] ?? [];
    const deviation = answer.values[answer.uncertainty[layer.key] ?? ""];
    const colour = COLOURS[i % 6] ?? "#000";
    if (deviation) parts.push(band(answer.along, heights, deviation, x, y, colour, low, high));
    for (const run of runs(answer.along, heights)) {
      const points = run.map(([d, h]) => `${x(d).toFixed(1)},${y(h).toFixed(1)}`).join(" ");
      parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.8" stroke-dasharray="${DASHES[i % 6]}" points="${points}"/>`);
    }
  });
  const label = `Profile of ${lines.map((l) => l.title).join(", ")} over ${length.toFixed(0)} m, ${Math.min(...known).toFixed(1)} to ${Math.max(...known).toFixed(1)}`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(label)}" xmlns="http://www.w3.org/2000/svg">${parts.join("")}</svg>`;
}

/** Stretches without no data, as distance and height. */
function runs(along: number[], heights: (number | null)[]): [number, number][][] {
  const found: [number, number][][] = [[]];
  heights.forEach((h, i) => {
    if (h === null) found.push([]);
    else found.at(-1)?.push([along[i] ?? 0, h]);
  });
  return found.filter((run) => run.length > 1);
}

function band(
  along: number[], heights: (number | null)[], deviation: (number | null)[],
  x: (d: number) => number, y: (h: number) => number, colour: string, low: number, high: number,
): string {
  const known = heights
    .map((h, i) => ({ d: along[i] ?? 0, h, s: deviation[i] ?? null }))
    .filter((p): p is { d: number; h: number; s: number } => p.h !== null && p.s !== null);
  const clip = (h: number) => Math.min(Math.max(h, low), high);
  const upper = known.map((p) => `${x(p.d).toFixed(1)},${y(clip(p.h + p.s)).toFixed(1)}`);
  const lower = known.map((p) => `${x(p.d).toFixed(1)},${y(clip(p.h - p.s)).toFixed(1)}`).reverse();
  return `<polygon fill="${colour}" fill-opacity="0.18" points="${[...upper, ...lower].join(" ")}"/>`;
}

/** Round values between two limits. */
function steps(low: number, high: number, most: number): number[] {
  const raw = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw) ?? raw;
  const made: number[] = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step / 1e6; v += step) made.push(Number(v.toPrecision(10)));
  return made;
}

function csv(answer: ProfileAnswer, layers: Layer[]): string {
  const columns = layers.filter((l) => answer.values[l.key]);
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const header = ["distance_m", ...columns.map((l) => quoted(l.title))].join(",");
  const rows = answer.along.map((d, i) => [d, ...columns.map((l) => answer.values[l.key]?.[i] ?? "")].join(","));
  return [header, ...rows].join("\n") + "\n";
}

/** Write an SVG as PNG, at twice its size, on white. */
async function save(svg: string, name: string): Promise<void> {
  const style = "<style>text{font:12px sans-serif;fill:#222}.grid{stroke:#ddd}</style>";
  const text = svg.replace(/(<svg[^>]*)>/, `$1 width="${WIDTH * 2}" height="${HEIGHT * 2}">${style}`);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = make("canvas", { width: String(WIDTH * 2), height: String(HEIGHT * 2) });
  const context = canvas.getContext("2d");
  if (!context) return;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  canvas.toBlob((blob) => blob && download(name, blob), "image/png");
}

function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c] ?? c);
}
