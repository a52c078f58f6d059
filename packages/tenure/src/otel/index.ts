/**
 * Tenure's diagnostics as OpenTelemetry metrics. Needs `@opentelemetry/api`, which the program brings.
 *
 * @module
 */
export { instrument, type InstrumentOptions } from "./instrument.ts";
