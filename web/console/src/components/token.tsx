// The token of this tab: asked for when the gateway wants one.

import { useEffect, useRef } from "preact/hooks";
import { KeyIcon } from "./icons.js";

export function TokenButton({ signedIn, onClick }: { signedIn: boolean; onClick: () => void }) {
  return (
    <button type="button" class="quiet-button" data-signed-in={signedIn} onClick={onClick}>
      <KeyIcon />
      {signedIn ? "Token" : "No token"}
    </button>
  );
}

interface FormProps {
  gateway: string;
  /** What the gateway said to the token it got. */
  refused: string | undefined;
  onSubmit: (token: string) => void;
  onCancel: (() => void) | undefined;
}

export function TokenForm({ gateway, refused, onSubmit, onCancel }: FormProps) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  return (
    <main class="center">
      <form
        class="token-form"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit(input.current?.value.trim().replace(/^Bearer\s+/i, "") ?? "");
        }}
      >
        <h1>Your token</h1>
        <p class="quiet">
          <b>{new URL(gateway).host}</b> lets in who carries a token. It stays in this tab, and is
          sent nowhere else. From a shell: <code>vdom token</code>
        </p>
        {refused && (
          <p class="warning" role="alert">
            The last one was refused: {refused}
          </p>
        )}
        <input
          ref={input}
          type="password"
          aria-label="Token"
          placeholder="eyJ…"
          autocomplete="off"
          spellcheck={false}
        />
        <div class="buttons">
          <button type="submit" class="primary">
            Use this token
          </button>
          {onCancel && (
            <button type="button" onClick={onCancel}>
              Cancel
            </button>
          )}
        </div>
      </form>
    </main>
  );
}
