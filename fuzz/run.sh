#!/usr/bin/env bash
# Builds the fuzz targets with coverage and runs each for FUZZ_SECONDS; fails on the first crash,
# hang or hunger for memory. What crashed is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${FUZZ_SECONDS:-20}
command -v c++ >/dev/null || { echo "libFuzzer needs a C++ compiler: apt-get install g++" >&2; exit 1; }
# What cargo-fuzz sets too, without the sanitizers that only nightly has.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# A target of its own keeps these flags from build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
python3 ../docs/examples/tiny_bert.py seeds/tiny >/dev/null
targets=$(ls src/bin | sed 's/\.rs$//' | grep -v '^seeds$')
bins=(); for target in $targets; do bins+=(--bin "$target"); done
env -u RUSTFLAGS cargo run --release --quiet --bin seeds
cargo build --release --quiet --target "$host" "${bins[@]}"
for target in $targets; do
  mkdir -p "corpus/$target" artifacts "seeds/$target"
  echo "== $target"
  "target/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -max_len=262144 -artifact_prefix="artifacts/$target-" -verbosity=0 -print_final_stats=1 \
    "corpus/$target" "seeds/$target"
done
rm -rf /dev/shm/mesh-fuzz-*
