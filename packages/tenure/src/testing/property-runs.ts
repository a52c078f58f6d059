/**
 * How often a property is tried: enough to find what is wrong and quick enough for every run of the tests, or as often
 * as the environment variable PROPERTY_RUNS says where that is more:
 *
 *     PROPERTY_RUNS=100000 npx vitest run --project unit --testTimeout 0 properties
 *
 * A property that fails prints its seed and path; `fc.assert` takes them beside `numRuns` to try that case again.
 */
export function propertyRuns(runs: number): { readonly numRuns: number } {
  const wanted = Number(process.env["PROPERTY_RUNS"] ?? runs);
  return { numRuns: wanted > runs ? wanted : runs };
}
