// The editor against a branch in memory: saving, following, conflicts.

import type { Change, Snapshot, WriteResult } from "@vdom/sdk";
import { type Branch, VdomError } from "@vdom/sdk";
import { beforeEach, expect, test, vi } from "vitest";
import { NodeEditor } from "../src/node-editor.js";

vi.stubGlobal("requestAnimationFrame", (draw: () => void) => queueMicrotask(draw));

/** One node that others may change at any time. */
class OneNode {
  text: string | undefined = "base";
  revision = 1;
  readonly branch = {
    read: async (): Promise<Snapshot> => {
      if (this.text === undefined) throw new VdomError("NotFound", "no node");
      return {
        kind: "file",
        content: new TextEncoder().encode(this.text),
        changedRevision: this.revision,
        position: { epoch: 1, revision: this.revision },
        nodeId: Uint8Array.of(1),
        clock: { writer: BigInt(this.revision) },
      } as Partial<Snapshot> as Snapshot;
    },
    write: async (
      _path: string,
      content: string,
      { seen }: { seen: { clock: Record<string, bigint> } | null },
    ): Promise<WriteResult> => {
      const position = { epoch: 1, revision: this.revision + 1 };
      const current = this.text === undefined ? undefined : BigInt(this.revision);
      if (seen?.clock.writer !== current) {
        return {
          ok: false,
          reason: "staleClock",
          theirs: { clock: { writer: current }, nodeId: Uint8Array.of(1) },
          position,
        } as unknown as WriteResult;
      }
      this.text = content;
      this.revision += 1;
      return { ok: true, position } as unknown as WriteResult;
    },
  } as unknown as Branch;

  change(text: string | undefined): Change {
    this.text = text;
    this.revision += 1;
    const type = text === undefined ? "delete" : "update";
    return { type, revision: this.revision, epoch: 1, author: "maria" } as Change;
  }
}

let node: OneNode;
let editor: NodeEditor;

beforeEach(async () => {
  node = new OneNode();
  editor = new NodeEditor(node.branch, "a");
  await editor.load();
});

test("a draft is saved over what was read", async () => {
  editor.edit("mine");
  expect(editor.dirty).toBe(true);
  await editor.save();
  expect(node.text).toBe("mine");
  expect(editor).toMatchObject({
    dirty: false,
    notice: "Saved as revision 2",
    conflict: undefined,
  });
});

test("an unchanged node is not written", async () => {
  await editor.save();
  expect(node.revision).toBe(1);
});

test("without a draft the editor follows others", async () => {
  editor.noticed(node.change("theirs"));
  await vi.waitFor(() => expect(editor.draft).toBe("theirs"));
  expect(editor.remote).toBeUndefined();
});

test("with a draft it says what others did, and keeps the draft", async () => {
  editor.edit("mine");
  editor.noticed(node.change("theirs"));
  expect(editor).toMatchObject({ draft: "mine", remote: { author: "maria", revision: 2 } });
});

test("a conflict writes nothing, and theirs can be taken", async () => {
  editor.edit("mine");
  node.change("theirs");
  await editor.save();
  expect(node.text).toBe("theirs");
  expect(editor.conflict).toBeDefined();
  await editor.reloadTheirs();
  expect(editor).toMatchObject({ draft: "theirs", dirty: false, conflict: undefined });
});

test("a conflict can be overwritten knowingly, unless theirs moved again", async () => {
  editor.edit("mine");
  node.change("theirs");
  await editor.save();
  node.change("theirs again");
  await editor.overwrite();
  expect(node.text).toBe("theirs again");
  await editor.overwrite();
  expect(node.text).toBe("mine");
  expect(editor.conflict).toBeUndefined();
});

test("a deletion by others empties the editor, and saving creates again", async () => {
  editor.noticed(node.change(undefined));
  await vi.waitFor(() => expect(editor.phase).toBe("missing"));
  editor.edit("new");
  await editor.save();
  expect(editor.phase).toBe("ready");
  expect(node.text).toBe("new");
});

test("the line endings of a file survive an edit", async () => {
  node.text = "one\r\ntwo\r\n";
  await editor.load();
  editor.edit(editor.draft.replace("two", "2"));
  await editor.save();
  expect(node.text).toBe("one\r\n2\r\n");
});

test("mixed line endings are shown, not edited", async () => {
  node.text = "one\r\ntwo\n";
  await editor.load();
  expect(editor.editable).toBe(false);
  editor.edit("changed");
  await editor.save();
  expect(node.text).toBe("one\r\ntwo\n");
});
