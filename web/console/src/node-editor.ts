// One node being looked at or edited: what was seen, the draft, what others did meanwhile.

import {
  type Branch,
  type Change,
  type Conflict,
  type Position,
  type Seen,
  type Snapshot,
  VdomError,
} from "@vdom/sdk";
import { type Content, contentOf, documentFrom, textFrom } from "./content.js";
import { Observable } from "./observable.js";

const NOTHING: Content = { form: "text", text: "", lineEnding: "\n" };

/** What an editor needs to know of a change by others. */
export type Noticed = Pick<Change, "type" | "epoch" | "revision" | "author">;

export class NodeEditor extends Observable {
  phase: "loading" | "ready" | "missing" | "failed" = "loading";
  snapshot: Snapshot | undefined;
  content: Content = NOTHING;
  draft = "";
  saving = false;
  conflict: Conflict | undefined;
  /** What others did since the draft was begun. */
  remote: Noticed | undefined;
  /** Why the last load or save failed. */
  error: VdomError | undefined;
  /** Said to the reader after something was done. */
  notice = "";
  readonly #branch: Branch;
  /** What the next save claims to have seen; `null`: that nothing stands there. */
  #seen: Seen | null = null;
  #seenAt: Position = { epoch: 0, revision: 0 };
  #newest: Noticed | undefined;
  #loads = 0;

  constructor(
    branch: Branch,
    readonly path: string,
  ) {
    super();
    this.#branch = branch;
  }

  get savedText(): string {
    return this.content.form === "bytes" ? "" : this.content.text;
  }

  get editable(): boolean {
    const { form } = this.content;
    const faithful =
      form === "document" || (form === "text" && this.content.lineEnding !== "mixed");
    return faithful && (this.phase === "ready" || this.phase === "missing");
  }

  get dirty(): boolean {
    return this.editable && this.draft !== this.savedText;
  }

  /** Shows what stands there now, at least as of `atLeast`, and drops the draft. */
  async load(notice = "", atLeast: Position | undefined = this.#newest): Promise<void> {
    this.#loads += 1;
    const load = this.#loads;
    let snapshot: Snapshot | undefined;
    let error: VdomError | undefined;
    try {
      snapshot = await this.#branch.read(this.path, { atLeast });
    } catch (thrown) {
      error = VdomError.from(thrown);
    }
    if (load !== this.#loads) return;
    this.remote = undefined;
    this.conflict = undefined;
    this.notice = notice;
    this.error = undefined;
    if (snapshot) {
      this.phase = "ready";
      this.snapshot = snapshot;
      this.content = contentOf(snapshot);
      this.#seen = snapshot;
      this.#seenAt = { epoch: snapshot.position.epoch, revision: snapshot.changedRevision };
    } else if (error?.code === "NotFound") {
      this.phase = "missing";
      this.snapshot = undefined;
      this.content = NOTHING;
      this.#seen = null;
    } else {
      this.phase = "failed";
      this.error = error;
    }
    if (atLeast && isNewer(atLeast, this.#seenAt)) this.#seenAt = atLeast;
    this.draft = this.savedText;
    this.changed();
    this.#reconcile();
  }

  edit(text: string): void {
    this.draft = text;
    this.notice = "";
    this.changed();
  }

  /** Drops the draft. */
  revert(): void {
    this.edit(this.savedText);
    this.#reconcile();
  }

  /** Creating an empty file is a save, too. */
  async save(): Promise<void> {
    if (this.dirty || this.phase === "missing") await this.#write(this.#seen);
  }

  /** Writes the draft over what the conflict showed; what came after that conflicts again. */
  async overwrite(): Promise<void> {
    if (this.conflict) await this.#write(this.conflict.theirs);
  }

  async reloadTheirs(): Promise<void> {
    await this.load("Showing what stands there now.", this.conflict?.position ?? this.#newest);
  }

  keepEditing(): void {
    this.conflict = undefined;
    this.changed();
  }

  /** Told of every change to this path. */
  noticed(change: Noticed): void {
    this.#newest = change;
    this.#reconcile();
  }

  async #write(seen: Seen | null): Promise<void> {
    if (!this.editable || this.saving) return;
    this.error = undefined;
    this.notice = "";
    this.saving = true;
    this.changed();
    try {
      const answer = await this.#branch.write(this.path, this.#body(), {
        seen,
        ...(!seen && this.snapshot && { kind: this.snapshot.kind }),
      });
      if (answer.ok)
        await this.load(`Saved as revision ${answer.position.revision}`, answer.position);
      else this.conflict = answer;
    } catch (thrown) {
      this.error =
        thrown instanceof VdomError
          ? thrown
          : new VdomError("InvalidArgument", `Not a document: ${(thrown as Error).message}`);
    }
    this.saving = false;
    this.changed();
    this.#reconcile();
  }

  /** What the draft says, as it is written. */
  #body(): Parameters<Branch["write"]>[1] {
    const { content, draft } = this;
    return content.form === "text" ? textFrom(draft, content.lineEnding) : documentFrom(draft);
  }

  /** Follows others while there is no draft to lose, else says that they changed it. */
  #reconcile(): void {
    const newest = this.#newest;
    if (!newest || !isNewer(newest, this.#seenAt)) return;
    if (this.saving || this.phase === "loading") return;
    if (this.dirty || this.conflict) {
      this.remote = newest;
      this.changed();
    } else {
      this.#seenAt = newest;
      void this.load();
    }
  }
}

/** A later epoch is newer, whatever its revisions: it follows a restore. */
function isNewer(one: Position, other: Position): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.revision > other.revision);
}
