/** Small helpers for elements. */

export function byId<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element as T;
}

type Child = Node | string;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A number with as many decimals as its unit needs. */
export function figure(value: number, unit: string): string {
  if (unit === "m") return `${value.toFixed(2)} m`;
  const digits = Math.abs(value) >= 100 ? 0 : 3;
  return `${Number(value.toFixed(digits))}${unit === "1" || unit === "DN" || !unit ? "" : ` ${unit}`}`;
}

export function download(name: string, blob: Blob): void {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
