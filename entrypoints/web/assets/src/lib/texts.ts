// What the page says, in its language: the same catalogues that the templates read.

import type english from "../../../catalogues/en.json";

export type Key = keyof typeof english;
type Values = Record<string, string | number>;

export const language = document.documentElement.lang === "fr" ? "fr" : "en";
const catalogue: Record<string, string> = (
  language === "fr" ? await import("../../../catalogues/fr.json") : await import("../../../catalogues/en.json")
).default;
const plural = new Intl.PluralRules(language);

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => (name in values ? String(values[name]) : place));
}

/** The text of `key` with `values` in its {places}. */
export function t(key: Key, values: Values = {}): string {
  return fill(catalogue[key] ?? key, values);
}

/** The text for a number of things: `key.one` or `key.other`, as the language counts. */
export function count(key: string, number: number, values: Values = {}): string {
  const form = plural.select(number) === "one" ? "one" : "other";
  return fill(catalogue[`${key}.${form}`] ?? key, { ...values, count: quantity(number) });
}

/** The text of a key that is made from a code, or `otherwise` where the catalogue has none. */
export function known(key: string, otherwise: string, values: Values = {}): string {
  return key in catalogue ? fill(catalogue[key] ?? otherwise, values) : otherwise;
}

/** A number as the language writes it. */
export function quantity(number: number, options: Intl.NumberFormatOptions = {}): string {
  return new Intl.NumberFormat(language, options).format(number);
}
