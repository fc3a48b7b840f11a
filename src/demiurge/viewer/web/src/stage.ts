/** What a map must do, with or without WebGL. */

import type { Layer, Place } from "./api";
import type { State, View } from "./state";

export interface Stage {
  /** Show a layer over a terrain with the state's colours and light. */
  show(layer: Layer, terrain: Layer | undefined, state: State, version: number): void;
  /** Draw the places of a line or of a box's corners, or nothing. */
  draw(places: Place[], closed: boolean): void;
  jump(view: View): void;
  view(): View;
  fit(bounds: Layer["bounds"]): void;
  onMove(handler: (view: View) => void): void;
  onClick(handler: (place: Place) => void): void;
  resize(): void;
  readonly element: HTMLElement;
}

/** Whether the browser draws with WebGL 2. */
export function hasWebGl(): boolean {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
}
