// The few drawings of the page; all of them decoration beside words.

import type { ComponentChildren } from "preact";

function Icon({ children, name }: { children: ComponentChildren; name: string }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true">
      {children}
    </svg>
  );
}

export function Logo() {
  return (
    <span class="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" />
        <path d="M10 8v16M10 12h7a3 3 0 0 1 3 3v1M10 22h8" />
        <circle cx="21.5" cy="19" r="2.6" />
      </svg>
      vdom
    </span>
  );
}

export const Chevron = () => (
  <Icon name="chevron">
    <path d="m6 4 4 4-4 4" />
  </Icon>
);

export const FileIcon = () => (
  <Icon name="file">
    <path d="M4 2.5h5L12 5.5v8H4zM9 2.5v3h3" />
  </Icon>
);

export const FolderIcon = () => (
  <Icon name="folder">
    <path d="M2 4.5V12.5h12V5.5H8L6.5 3.5H2z" />
  </Icon>
);

export const DocumentIcon = () => (
  <Icon name="document">
    <path d="M6 3C4.5 3 4.5 4 4.5 5.5S4.5 8 3 8c1.5 0 1.5 1 1.5 2.5S4.5 13 6 13M10 3c1.5 0 1.5 1 1.5 2.5S11.5 8 13 8c-1.5 0-1.5 1-1.5 2.5S11.5 13 10 13" />
  </Icon>
);

export const SearchIcon = () => (
  <Icon name="search">
    <circle cx="7" cy="7" r="4" />
    <path d="m10 10 3.5 3.5" />
  </Icon>
);

export const PlusIcon = () => (
  <Icon name="plus">
    <path d="M8 3v10M3 8h10" />
  </Icon>
);

export const KeyIcon = () => (
  <Icon name="key">
    <circle cx="5.5" cy="10.5" r="2.7" />
    <path d="m7.5 8.5 5.5-5.5M11 5l1.8 1.8" />
  </Icon>
);
