// Elements, made from text alone: nothing here reads markup.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

const SVG = "http://www.w3.org/2000/svg";

function fill<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element; an attribute `on…` with a function listens, one that is false or null is left out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag: string, attributes: Attributes, ...children: Child[]): SVGElement {
  return fill(document.createElementNS(SVG, tag) as SVGElement, attributes, children);
}

/** A drawing of the page's own set. */
export function icon(name: string): SVGElement {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** A bar: what is used and what is held, as parts of the whole (0–1). Without a label it only draws what the text beside it says; so does `state`. */
export function bar(used: number, reserved: number, label: string | null, state: "calm" | "near" | "full" = "calm"): SVGElement {
  const filled = Math.min(Math.max(used, 0), 1) * 100;
  const held = Math.min(Math.max(reserved, 0) * 100, 100 - filled);
  return svg(
    "svg",
    {
      class: "bar",
      viewBox: "0 0 100 6",
      preserveAspectRatio: "none",
      "data-state": state,
      ...(label === null ? { "aria-hidden": "true" } : { role: "img", "aria-label": label }),
    },
    svg("rect", { class: "bar-ground", width: 100, height: 6 }),
    svg("rect", { class: "bar-used", width: filled, height: 6 }),
    svg("rect", { class: "bar-reserved", x: filled, width: held, height: 6 }),
  );
}

/** The element `#id`, which the page has. */
export function the<E extends HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element as E;
}

/** The element `#id`, where the page has it. */
export function maybe<E extends HTMLElement>(id: string): E | null {
  return document.getElementById(id) as E | null;
}

/** A line that says what is the case, with a drawing for its kind. */
export function notice(kind: "info" | "good" | "warn" | "bad", ...children: Child[]): HTMLElement {
  const drawing = { info: "info", good: "check", warn: "alert", bad: "alert" }[kind];
  return h("div", { class: "notice", "data-kind": kind, role: kind === "bad" ? "alert" : "status" }, icon(drawing), h("div", {}, ...children));
}

/** Say `text` to those who listen to the page. */
export function announce(text: string): void {
  const live = maybe("live");
  if (live) live.textContent = text;
}

/** Whether the person holds `permission` here. */
export function may(permission: string): boolean {
  const held = document.querySelector<HTMLElement>("[data-permissions]")?.dataset["permissions"] ?? "";
  return held.split(" ").includes(permission);
}
