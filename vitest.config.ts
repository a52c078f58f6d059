import { defineConfig, type ViteUserConfig } from "vitest/config";

// Tests read the packages' sources, so that no build stands between an edit and its test.
const conditions = ["@tenure/source"];

const config: ViteUserConfig = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    retry: 0,
    bail: 0,
    projects: [
      // The groups run one after another: what measures time on real processes must not compete with the rest.
      project("tidy", ["tests/tidy.test.ts"], 0),
      project("unit", ["packages/*/src/**/*.test.ts"], 0),
      project("support", ["tests/support/**/*.test.ts"], 1),
      project("conformance", ["tests/conformance/**/*.test.ts"], 1),
      project("transport", ["tests/transport/**/*.test.ts"], 1),
      project("faults", ["tests/faults/**/*.test.ts"], 1),
      project("interop", ["tests/interop/**/*.test.ts"], 3),
      project("simulation", ["tests/simulation/*.test.ts"], 5),
      project("robustness", ["tests/robustness/*.test.ts"], 6),
      project("differential", ["tests/differential/*.test.ts"], 5),
      project("bench", ["tests/bench/**/*.test.ts"], 7),
      project("fencing", ["tests/fencing/**/*.test.ts"], 4),
      project("e2e", ["tests/e2e/**/*.test.ts", "tests/packages/**/*.test.ts", "tests/docs/**/*.test.ts"], 2),
      // Measurements are no tests: `npm run measure:run`.
      ...(process.env["TENURE_MEASURE_FILE"] === undefined ? [] : [project("measure", ["tests/measure/*.test.ts"], 7)]),
    ],
  },
});
export default config;

function project(name: string, include: string[], groupOrder: number) {
  return { extends: true as const, test: { name, include, sequence: { groupOrder }, maxWorkers: 2 } };
}
