import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
const PAGES = ["index.html", "talk.html"];

/** SHA-256 of all that the build is made of; tests/studio/test_build.py computes the same. */
function sources() {
  const names = [...PAGES, "package-lock.json", "vite.config.mjs", "client/index.js", ...readdirSync(`${here}src`).map((n) => `src/${n}`)];
  const hash = createHash("sha256");
  for (const name of names.sort()) hash.update(`${name}\n`).update(readFileSync(here + name));
  return hash.digest("hex");
}

const stamp = {
  name: "stamp",
  transformIndexHtml: (html) => html.replace("%SOURCES%", sources()),
};

/** The runtime of ONNX is kept packed, a quarter of its size; `src/driver.ts` unpacks it. */
const pack = {
  name: "pack",
  generateBundle(_, bundle) {
    for (const [name, file] of Object.entries(bundle)) {
      if (!name.endsWith(".wasm")) continue;
      this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(file.source, { level: 9 }) });
      delete bundle[name];
    }
  },
};

export default defineConfig({
  base: "./",
  plugins: [stamp, pack],
  build: {
    outDir: "../avatargpt/server/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
    assetsInlineLimit: 0,
    rollupOptions: { input: PAGES.map((name) => here + name) },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8765", "/healthz": "http://127.0.0.1:8765" } },
});
