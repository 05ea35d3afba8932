#!/bin/sh
# Builds a release of sparekey that needs nothing of the system it runs on: no C library, no loader, no file. A vault's image often
# has another C library than the one that a plugin was linked against, or none.
#
#   plugin-manifest/build-static.sh [FOLDER]
#
# Into FOLDER [target/dist] go `sparekey`, its bill of materials `sparekey.cdx.json` (CycloneDX) and `SHA256SUMS` over both.
#
#   PROFILE=NAME    cargo's profile; dev is quicker to build, and not for use                              [release]
#   TARGET=TRIPLE   what to build for  [musl of this machine where musl-gcc and rustup can be had, else its glibc, linked statically]
#
# With glibc, names are looked up by what the host's nsswitch.conf names, loaded from the host if it is more than files and dns: prefer
# musl, or addresses in jwks_url.
set -eu

cd "$(dirname "$0")/.."
out=${1:-target/dist}
machine=$(uname -m)

fail() {
    echo "build-static.sh: $*" >&2
    exit 1
}

case $machine in
    x86_64 | aarch64) ;;
    *) [ -n "${TARGET:-}" ] || fail "no target is known for $machine; name one with TARGET=" ;;
esac
target=${TARGET:-}
musl=$machine-unknown-linux-musl
if [ -z "$target" ]; then
    target=$machine-unknown-linux-gnu
    if command -v musl-gcc >/dev/null 2>&1; then
        sysroot=$(rustc --print sysroot)
        if [ -d "$sysroot/lib/rustlib/$musl" ] || rustup target add "$musl" >/dev/null 2>&1; then
            target=$musl
        fi
    fi
fi

# Randomness comes from the kernel by its call: looked up as usual, that is not found in a static glibc, and /dev/urandom would have to be
# there instead. No path of this machine in the binary, so that the same sources make the same bytes elsewhere.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static --cfg getrandom_backend=\"linux_getrandom\" --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$PWD=/sparekey"
export RUSTFLAGS
profile=${PROFILE:-release}
cargo build --profile "$profile" --locked --bin sparekey --target "$target"

mkdir -p "$out"
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
built=${CARGO_TARGET_DIR:-target}/$target/$folder/sparekey
cp "$built" "$out/sparekey.new"
mv -f "$out/sparekey.new" "$out/sparekey"
"${PYTHON:-python3}" plugin-manifest/sbom.py --target "$target" --binary "$out/sparekey" >"$out/sparekey.cdx.json"
(cd "$out" && sha256sum sparekey sparekey.cdx.json >SHA256SUMS)
echo "built for $target:"
ls -l "$out"
cat "$out/SHA256SUMS"
