// The panel beside the content: one thing at a time, closed by its button or Escape, focus given back to what opened it.

import { maybe } from "./dom";

let opener: HTMLElement | null = null;

/** Show `children` under `title`; `from` is what was pressed. */
export function openPanel(title: string, from: HTMLElement | null, ...children: Node[]): void {
  const panel = maybe("panel");
  const head = maybe("panel-title");
  const body = maybe("panel-body");
  if (!panel || !head || !body) return;
  opener?.setAttribute("aria-expanded", "false");
  opener = from;
  opener?.setAttribute("aria-expanded", "true");
  head.textContent = title;
  head.title = title;
  body.replaceChildren(...children);
  body.scrollTop = 0;
  panel.hidden = false;
  head.focus({ preventScroll: true });
}

export function closePanel(): void {
  const panel = maybe("panel");
  if (!panel || panel.hidden) return;
  panel.hidden = true;
  opener?.setAttribute("aria-expanded", "false");
  if (opener?.isConnected) opener.focus();
  opener = null;
}

document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-close-panel]")) closePanel();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open], [popover]:popover-open")) closePanel();
});
