// Counts everybody who listens to anything in this process, the library's own signals and sockets included. It has to
// be imported before what it watches.
import { EventEmitter, getEventListeners } from "node:events";

/** All that was ever listened to and still exists. */
const targets = new Set();
const known = new WeakSet();

function remember(target) {
  if (known.has(target)) return;
  known.add(target);
  targets.add(new WeakRef(target));
}

for (const [prototype, method] of [
  [EventTarget.prototype, "addEventListener"],
  [EventEmitter.prototype, "on"],
  [EventEmitter.prototype, "addListener"],
]) {
  const original = prototype[method];
  prototype[method] = function listened(...args) {
    remember(this);
    return original.apply(this, args);
  };
}

remember(process);

/** How many listeners there are. Exact after a garbage collection: else what nobody refers to any more counts too. */
export function countListeners() {
  let count = 0;
  for (const ref of targets) {
    const target = ref.deref();
    if (target === undefined) targets.delete(ref);
    else if (target instanceof EventEmitter)
      for (const name of target.eventNames()) count += target.listenerCount(name);
    else count += getEventListeners(target, "abort").length;
  }
  return count;
}
