#!/usr/bin/env bash
# Builds the Debian package, and tests it in a Debian of its own that systemd boots.
#
#   scripts/package.sh build   the package, with manual pages and completions, in target/package
#   scripts/package.sh test    the same and a package with a higher number: both are installed, started, reloaded, upgraded, removed
#                              and purged by scripts/package/steps.sh (root, debootstrap and systemd-container are needed)
#
#   FERNPOST_BIN  the program (built with `cargo build --release` unless given)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

out=$PWD/target/package
# The same source makes the same package.
if [[ -z ${SOURCE_DATE_EPOCH:-} ]] && time=$(git log -1 --format=%ct 2>/dev/null); then export SOURCE_DATE_EPOCH=$time; fi

# cargo_deb ARGUMENT...: cargo-deb, installed into target/tools if it is not there.
cargo_deb() {
  if command -v cargo-deb >/dev/null; then cargo deb "$@"; return; fi
  [[ -x target/tools/bin/cargo-deb ]] ||
    CARGO_TARGET_DIR=target/tools/build cargo install --quiet --locked --root target/tools cargo-deb@3.8.0
  PATH=$PWD/target/tools/bin:$PATH cargo deb "$@"
}

# Copies the program to where cargo-deb looks for it, and writes the files that it makes itself.
prepare() {
  local binary=${FERNPOST_BIN:-}
  if [[ -z $binary ]]; then
    cargo build --release --locked --bin fernpost
    binary=${CARGO_TARGET_DIR:-target}/release/fernpost
  fi
  rm -rf "$out/man" "$out/completions"
  mkdir -p "$out/man" "$out/completions" "$out/stage/release"
  install -m 755 "$binary" "$out/stage/release/fernpost"
  "$binary" man "$out/man"
  "$binary" completions bash >"$out/completions/fernpost.bash"
  "$binary" completions zsh >"$out/completions/_fernpost"
  "$binary" completions fish >"$out/completions/fernpost.fish"
}

# package VERSION FILE
package() {
  CARGO_TARGET_DIR=$out/stage cargo_deb --no-build --deb-version "$1" --output "$2"
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

case "${1:-}" in
  build)
    prepare
    package "$version-1" "$out/fernpost_$version-1_$(dpkg --print-architecture).deb"
    ;;
  test)
    [[ $(id -u) = 0 ]] || { echo "scripts/package.sh test: only root can boot a Debian" >&2; exit 2; }
    for program in debootstrap systemd-nspawn; do
      command -v "$program" >/dev/null ||
        { echo "$program is not there: apt-get install debootstrap systemd-container" >&2; exit 2; }
    done
    prepare
    package "$version-1" "$out/old.deb"
    package "$version-2" "$out/new.deb"
    base=${DEBIAN_BASE:-$out/debian}
    [[ -e $base/etc/debian_version ]] ||
      debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$base" >"$out/debootstrap.log"
    root=$out/root
    rm -rf "$root"
    cp -a "$base" "$root"
    install -D -m 644 -t "$root/root/packages" "$out/old.deb" "$out/new.deb"
    install -m 755 scripts/package/steps.sh "$root/root/steps.sh"
    install -m 644 scripts/package/package-test.service "$root/etc/systemd/system/"
    options=(--quiet --directory "$root" --register=no --private-network --console=pipe --boot)
    # Where systemd does not run, there is no unit to put the machine into.
    [[ -d /run/systemd/system ]] || options+=(--keep-unit)
    code=0
    timeout 600 systemd-nspawn "${options[@]}" systemd.unit=package-test.service >"$out/boot.log" 2>&1 </dev/null || code=$?
    cat "$root/root/steps.log"
    if [[ $code != 0 ]]; then
      echo "the package test has failed (code $code); see $out/boot.log and $root/root/journal.log" >&2
      exit 1
    fi
    rm -rf "$root"
    ;;
  *)
    echo "usage: scripts/package.sh build|test" >&2
    exit 2
    ;;
esac
