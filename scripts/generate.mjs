// Generates packages/etcd/src/gen from packages/etcd/proto. `--check` fails when the committed files differ.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const committed = join(root, "packages/etcd/src/gen");
const check = process.argv.includes("--check");
const out = check ? mkdtempSync(join(tmpdir(), "tenure-gen-")) : committed;

const bin = (name) => join(root, "node_modules/.bin", name);
const template = {
  version: "v2",
  plugins: [{ local: bin("protoc-gen-es"), out, opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"] }],
};
try {
  execFileSync(bin("buf"), ["generate", "--template", JSON.stringify(template), "packages/etcd/proto"], {
    cwd: root,
    stdio: "inherit",
  });
  if (check) {
    const stale = readdirSync(out).filter(
      (file) => readFileSync(join(out, file), "utf8") !== readFileSync(join(committed, file), "utf8"),
    );
    if (stale.length > 0) {
      console.error(`generated files are stale: ${stale.join(", ")}; run: npm run generate`);
      process.exitCode = 1;
    }
  }
} finally {
  if (check) rmSync(out, { recursive: true });
}
