#!/usr/bin/env bash
# What building, fetching and testing need beyond rustup: a C compiler (SQLite and ring), pip
# (pypi:// sources), curl (the README); with `tests`, also PostgreSQL and nats-server, whose programs
# tests start as servers of their own, faketime, which gives programs another clock, and chromium,
# in which the page is walked; with
# `java`, what Spark runs on. As root on Debian it is installed; else it is said what to install.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v curl >/dev/null || missing+=(curl ca-certificates)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3 python3-pip)
if [ "${1:-}" = tests ]; then
  command -v nats-server >/dev/null || missing+=(nats-server)
  command -v faketime >/dev/null || missing+=(faketime)
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
  # Debian keeps the server's programs off the path.
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
    missing+=(postgresql)
fi
[ "${1:-}" != java ] || command -v java >/dev/null || missing+=(default-jre-headless)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "missing: ${missing[*]}" >&2
  echo "install them, on Debian: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
