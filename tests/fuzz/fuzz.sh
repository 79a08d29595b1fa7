#!/bin/sh
# Has libFuzzer drive the targets that are named, or all of them, each for FUZZ_SECONDS.
set -eu
cd "$(dirname "$0")/../.."

lacks=
rustup toolchain list 2>/dev/null | grep -q '^nightly' ||
	lacks="a nightly compiler (rustup toolchain install nightly)"
cargo fuzz --version >/dev/null 2>&1 ||
	lacks="${lacks:+$lacks and }cargo-fuzz (cargo install cargo-fuzz)"
if [ -n "$lacks" ]; then
	echo "fuzz: not driven here, for want of $lacks; make test replays the corpus"
	exit 0
fi

manifest=tests/fuzz/libfuzzer
[ $# -gt 0 ] || set -- $(ls $manifest/fuzz_targets | sed 's/\.rs$//')
# The versions that the product is built of.
cp Cargo.lock $manifest/Cargo.lock
for target; do
	mkdir -p $manifest/corpus/$target
	# No code of the workspace is unsafe: a sanitizer would have nothing to find.
	cargo +nightly fuzz run --fuzz-dir $manifest --sanitizer none ${FUZZ_ARGS:-} $target \
		$manifest/corpus/$target tests/fuzz/corpus/$target \
		-- -max_total_time=${FUZZ_SECONDS:-60} -max_len=65536
done
