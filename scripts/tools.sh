#!/usr/bin/env bash
# What building, fetching and testing need beyond rustup: a C compiler (SQLite and ring), pip
# (pypi:// sources), curl (the README); with `tests`, also nats-server (streams). As root on Debian
# it is installed; else it is said what to install.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v curl >/dev/null || missing+=(curl ca-certificates)
[ "${1:-}" != tests ] || command -v nats-server >/dev/null || missing+=(nats-server)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3 python3-pip)
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
