// State that components look at: drawn again at most once a frame, however often it changes.

import { useEffect, useState } from "preact/hooks";

export class Observable {
  readonly #observers = new Set<() => void>();
  #scheduled = false;

  /** Calls back after changes until the returned function is called. */
  observe(observer: () => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  protected changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      for (const observer of this.#observers) observer();
    });
  }
}

/** Draws the component again when the state changes. */
export function useObserved<T extends Observable | undefined>(state: T): T {
  const [, draw] = useState({});
  useEffect(() => {
    draw({});
    return state?.observe(() => draw({}));
  }, [state]);
  return state;
}
