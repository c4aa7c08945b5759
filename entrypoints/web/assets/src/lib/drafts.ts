// What was written and not yet sent: kept for this tab, by the address that it was written at, until it is sent or the person signs out.

const key = (): string => `luneo-draft:${location.pathname}${location.search}`;

/** The draft written at this address; empty when there is none. */
export function draftFor(): string {
  return sessionStorage.getItem(key()) ?? "";
}

/** Keep `text` as this address's draft. A browser that gives no more room keeps the one before. */
export function keepDraft(text: string): void {
  try {
    if (text) sessionStorage.setItem(key(), text);
    else sessionStorage.removeItem(key());
  } catch {
    return;
  }
}

/** Forget this address's draft. */
export function dropDraft(): void {
  sessionStorage.removeItem(key());
}
