import tailwindcss from "@tailwindcss/vite";
import { defineConfig } from "vite";

// One small entry for each kind of page; what they share becomes a chunk of its own. Every name but the manifest's carries a hash.
export default defineConfig({
  base: "/static/",
  plugins: [tailwindcss()],
  publicDir: false,
  build: {
    outDir: "../static",
    emptyOutDir: true,
    manifest: "manifest.json",
    target: "es2022",
    // Styles and fonts stay files: the pages' policy allows no data: addresses but pictures.
    assetsInlineLimit: 0,
    // The helper would add elements that the policy's nonce does not cover; the scripts are few.
    modulePreload: false,
    rollupOptions: {
      // htmx can evaluate code; ours is told not to (`allowEval`), and the policy would not let it.
      onwarn: (warning, warn) => (warning.code === "EVAL" && warning.id?.includes("htmx.org") ? undefined : warn(warning)),
      input: { page: "src/page.ts", chat: "src/chat.ts", knowledge: "src/knowledge.ts", start: "src/start.ts" },
    },
  },
});
