// Asks for the path of a node that is to be created.

import { useEffect, useRef } from "preact/hooks";

interface Props {
  /** The path that is open; its folder is offered. */
  beside: string;
  create: (path: string) => void;
  cancel: () => void;
}

export function NewFile({ beside, create, cancel }: Props) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  return (
    <form
      class="new-file"
      onSubmit={(event) => {
        event.preventDefault();
        const path = input.current?.value.split("/").filter(Boolean).join("/");
        if (path) create(path);
      }}
      onKeyDown={(event) => event.key === "Escape" && cancel()}
    >
      <input
        ref={input}
        aria-label="Path of the new file"
        placeholder="path/of/the/new-file"
        defaultValue={beside.slice(0, beside.lastIndexOf("/") + 1)}
        required
        maxLength={1024}
      />
      <button type="submit">Open</button>
    </form>
  );
}
