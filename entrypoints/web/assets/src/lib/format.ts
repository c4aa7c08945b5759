// Numbers, sizes, money and times as people read them.

import { language, quantity, t } from "./texts";

const DAY = 86_400_000;

/** A size in bytes. */
export function size(bytes: number): string {
  const [value, unit] = bytes >= 1e6 ? [bytes / 1e6, "megabyte"] : [Math.max(bytes, 100) / 1e3, "kilobyte"];
  return quantity(value, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: value < 10 ? 1 : 0 });
}

/** How long something took. */
export function duration(milliseconds: number): string {
  return milliseconds < 1000
    ? quantity(milliseconds, { style: "unit", unit: "millisecond", maximumFractionDigits: 0 })
    : quantity(milliseconds / 1000, { style: "unit", unit: "second", maximumFractionDigits: 1 });
}

/** Money in minor units. */
export function money(amount: number, currency: string): string {
  return quantity(amount / 100, { style: "currency", currency });
}

/** A share such as a similarity, in percent. */
export function share(part: number): string {
  return quantity(part, { style: "percent", maximumFractionDigits: 0 });
}

function daysFromToday(at: Date): number {
  const midnight = (day: Date): number => new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
  return Math.round((midnight(at) - midnight(new Date())) / DAY);
}

/** When something was: the time today, else the day. */
export function when(text: string): string {
  const at = new Date(text);
  const days = daysFromToday(at);
  if (days === 0) return new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" }).format(at);
  if (days > -7 && days < 0) return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(days, "day");
  return new Intl.DateTimeFormat(language, { day: "numeric", month: "short" }).format(at);
}

/** A day by its date. */
export function date(text: string): string {
  return new Intl.DateTimeFormat(language, { day: "numeric", month: "long" }).format(new Date(text));
}

/** A day to come, in words: its date and how far away it is. */
export function day(text: string): string {
  const at = new Date(text);
  const distance = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(daysFromToday(at), "day");
  return t("time.date_and_distance", { date: date(text), distance });
}
