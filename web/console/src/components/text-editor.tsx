// The edit box, with line numbers that follow its scrolling.

import { useEffect, useMemo, useRef } from "preact/hooks";
import type { NodeEditor } from "../node-editor.js";

export function TextEditor({ editor, focus }: { editor: NodeEditor; focus: boolean }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLPreElement>(null);
  const numbers = useMemo(() => lineNumbers(editor.draft), [editor.draft]);
  useEffect(() => {
    if (focus) box.current?.focus();
  }, [focus]);
  return (
    <div class="editor">
      <div class="gutter" aria-hidden="true">
        <pre ref={gutter}>{numbers}</pre>
      </div>
      <textarea
        ref={box}
        aria-label={`Content of ${editor.path}`}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        wrap="off"
        readOnly={editor.saving || !editor.editable}
        value={editor.draft}
        onInput={(event) => editor.edit(event.currentTarget.value)}
        onScroll={(event) => {
          if (gutter.current) {
            gutter.current.style.transform = `translateY(${-event.currentTarget.scrollTop}px)`;
          }
        }}
        onKeyDown={(event) => {
          if ((event.ctrlKey || event.metaKey) && event.key === "s") {
            event.preventDefault();
            void editor.save();
          }
        }}
      />
    </div>
  );
}

function lineNumbers(text: string): string {
  const lines = text.split("\n").length;
  return Array.from({ length: lines }, (_, index) => index + 1).join("\n");
}
