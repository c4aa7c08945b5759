// An answer's text as elements: paragraphs, lists, headings, code, emphasis, links and the marks of citations. No markup is ever read.

import { h } from "./dom";
import { t } from "./texts";
import type { Schemas } from "./api";

export type Citation = Schemas["CitationBody"];
type Open = (citation: Citation, mark: HTMLElement) => void;

const INLINE = /(`[^`\n]+`)|\*\*([^*\n]+)\*\*|\[(\d{1,3})\]|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(?<![\w*])\*([^*\n]+)\*(?!\w)/g;

/** Return the answer as elements; a mark `[n]` opens the citation of that number, one without a citation stays away. */
export function answerElements(text: string, citations: readonly Citation[], open: Open): HTMLElement[] {
  const blocks: HTMLElement[] = [];
  const lines = text.split("\n");
  let paragraph: string[] = [];
  const inline = (words: string): Node[] => inlineNodes(words, citations, open);
  const close = (): void => {
    if (paragraph.length) blocks.push(h("p", {}, ...inline(paragraph.join("\n"))));
    paragraph = [];
  };
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const item = /^\s*(?:[-*•]|(\d+)[.)])\s+(.*)$/.exec(line);
    const heading = /^#{1,6}\s+(.*)$/.exec(line);
    if (line.startsWith("```")) {
      close();
      const code: string[] = [];
      for (at += 1; at < lines.length && !(lines[at] ?? "").startsWith("```"); at += 1) code.push(lines[at] ?? "");
      blocks.push(h("pre", { tabindex: 0 }, h("code", {}, code.join("\n"))));
    } else if (item) {
      close();
      const tag = item[1] === undefined ? "ul" : "ol";
      const last = blocks.at(-1);
      const list = last?.localName === tag ? last : h(tag, tag === "ol" && item[1] !== "1" ? { start: item[1] } : {});
      if (list !== last) blocks.push(list);
      list.append(h("li", {}, ...inline(item[2] ?? "")));
    } else if (heading) {
      close();
      blocks.push(h("h3", {}, ...inline(heading[1] ?? "")));
    } else if (!line.trim()) {
      close();
    } else {
      paragraph.push(line);
    }
  }
  close();
  return blocks;
}

function inlineNodes(text: string, citations: readonly Citation[], open: Open): Node[] {
  const nodes: Node[] = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(document.createTextNode(text.slice(from, found.index)));
    from = found.index + found[0].length;
    const [, code, strong, mark, label, address, emphasis] = found;
    if (code) nodes.push(h("code", {}, code.slice(1, -1)));
    else if (strong) nodes.push(h("strong", {}, ...inlineNodes(strong, citations, open)));
    else if (emphasis) nodes.push(h("em", {}, emphasis));
    else if (label && address) nodes.push(h("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, label));
    else if (mark) {
      const citation = citations.find((one) => one.number === Number(mark));
      if (citation) nodes.push(citationMark(citation, open));
    }
  }
  nodes.push(document.createTextNode(text.slice(from)));
  return nodes;
}

function citationMark(citation: Citation, open: Open): HTMLElement {
  const label = t("citation.open", { number: citation.number, title: citation.title });
  const mark = h("button", { type: "button", class: "citation", "aria-label": label, title: citation.title }, String(citation.number));
  mark.addEventListener("click", () => open(citation, mark));
  return mark;
}
