import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));

/** SHA-256 of all that the build is made of; tests/studio/test_build.py computes the same. */
function sources() {
  const names = ["index.html", "package-lock.json", "vite.config.mjs", "client/index.js", ...readdirSync(`${here}src`).map((n) => `src/${n}`)];
  const hash = createHash("sha256");
  for (const name of names.sort()) hash.update(`${name}\n`).update(readFileSync(here + name));
  return hash.digest("hex");
}

const stamp = {
  name: "stamp",
  transformIndexHtml: (html) => html.replace("%SOURCES%", sources()),
};

export default defineConfig({
  base: "./",
  plugins: [stamp],
  build: {
    outDir: "../avatargpt/server/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8765", "/healthz": "http://127.0.0.1:8765" } },
});
