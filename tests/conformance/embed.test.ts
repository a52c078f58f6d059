import { startEmbed } from "@tenure/embed";
import { runAll } from "./suite.ts";

runAll({ name: "embed", start: () => startEmbed() });
