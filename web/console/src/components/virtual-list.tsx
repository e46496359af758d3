// A list of rows of one height, of which only the visible ones are drawn.

import type { ComponentChildren, HTMLAttributes, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const EXTRA_ROWS = 8;

interface Props<T> extends Omit<HTMLAttributes<HTMLDivElement>, "children"> {
  items: readonly T[];
  rowHeight: number;
  /** Kept in view whenever it changes. */
  active?: number | undefined;
  row: (item: T, index: number) => ComponentChildren;
  /** The box that scrolls, for one who must focus it. */
  box?: RefObject<HTMLDivElement | null>;
}

export function VirtualList<T>(props: Props<T>) {
  const { items, rowHeight, active, row, box: outerBox, ...attributes } = props;
  const ownBox = useRef<HTMLDivElement>(null);
  const box = outerBox ?? ownBox;
  const [{ top, height }, setView] = useState({ top: 0, height: 800 });

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [box]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element || active === undefined || active < 0) return;
    const start = active * rowHeight;
    if (start < element.scrollTop) element.scrollTop = start;
    else if (start + rowHeight > element.scrollTop + element.clientHeight) {
      element.scrollTop = start + rowHeight - element.clientHeight;
    }
  }, [active, rowHeight, box]);

  const first = Math.max(0, Math.floor(top / rowHeight) - EXTRA_ROWS);
  const last = Math.min(items.length, Math.ceil((top + height) / rowHeight) + EXTRA_ROWS);
  return (
    <div {...attributes} ref={box}>
      <div class="virtual" role="presentation" style={{ height: `${items.length * rowHeight}px` }}>
        <div role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {items.slice(first, last).map((item, index) => row(item, first + index))}
        </div>
      </div>
    </div>
  );
}
