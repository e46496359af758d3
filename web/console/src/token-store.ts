// The token of this tab, kept apart per gateway: a link that names another
// gateway must never be handed the token of this one.

const keyOf = (gateway: string) => `vdom.token ${gateway}`;

export function tokenFor(gateway: string): string | undefined {
  return sessionStorage.getItem(keyOf(gateway)) ?? undefined;
}

export function keepToken(gateway: string, token: string): void {
  if (token) sessionStorage.setItem(keyOf(gateway), token);
  else sessionStorage.removeItem(keyOf(gateway));
}
