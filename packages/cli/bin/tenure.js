#!/usr/bin/env node
// npm links a command only when its file exists at install, so this one is committed and imports the build.
import "../dist/main.js";
