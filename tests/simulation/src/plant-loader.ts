// Runs in Node's loader thread: changes one module of the product on its way into the process.
import type { LoadHook } from "node:module";
import { type PlantedBug, planted } from "./planted-bugs.ts";

let bug: PlantedBug | undefined;

/** Called by Node with the data that was registered. */
export function initialize(data: PlantedBug): void {
  bug = data;
}

/** Called by Node for each module. */
export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (bug === undefined || !url.endsWith(`/packages/${bug.file}`)) return loaded;
  const { source = "" } = loaded;
  return { ...loaded, source: planted(bug, typeof source === "string" ? source : new TextDecoder().decode(source)) };
};
