#!/usr/bin/env bash
# Prints the path of a ptxas: $CUDALORA_PTXAS, PATH, CUDA_HOME, the project's cache, else fetched once into .cache/ptxas.
# The fetch reads Debian 13's package nvidia-cuda-toolkit (ptxas 12.4) from the mirror this machine's apt already uses, with
# an apt state of its own: nothing is installed and the machine's package lists stay as they are.
#   kernels/ptxas.sh           find or fetch
#   kernels/ptxas.sh --cached  find only; exit status 1 where there is none
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache/ptxas
suite=trixie

found() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1 && { echo "$1"; exit 0; } || true; }
if [ -n "${CUDALORA_PTXAS:-}" ]; then found "$CUDALORA_PTXAS"; fi
if onpath=$(command -v ptxas); then found "$onpath"; fi
for home in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda; do
    if [ -n "$home" ]; then found "$home/bin/ptxas"; fi
done
found "$cache/bin/ptxas"
# A worktree borrows the cache of the main checkout.
if common=$(git -C "$root" rev-parse --path-format=absolute --git-common-dir 2>/dev/null); then
    shared=$(dirname "$common")/.cache/ptxas
    if [ "$shared" != "$cache" ] && [ -x "$shared/bin/ptxas" ]; then
        mkdir -p "$root/.cache" && ln -sfn "$shared" "$cache"
        found "$cache/bin/ptxas"
    fi
fi
[ "${1:-}" = --cached ] && exit 1

fail() { echo "ptxas.sh: $1" >&2; exit 1; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "no ptxas here, and no apt to fetch one with"
[ "$(dpkg --print-architecture)" = amd64 ] || fail "no ptxas here, and the package is for amd64 only"
# --no-release-info lists what is configured, also where apt-get update was never run.
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' \
    | grep -m1 -E '/debian/?$') \
    || fail "no ptxas here, and apt has no Debian mirror configured"

work=$root/.cache/ptxas.part
rm -rf "$work"
mkdir -p "$work"/{lists/partial,archives/partial,etc,deb}
trap 'rm -rf "$work"' EXIT
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "no ptxas here, and no $keyring to check the package with"
echo "deb [arch=amd64 signed-by=$keyring] $mirror $suite non-free" >"$work/etc/sources.list"
: >"$work/status"
cat >"$work/apt.conf" <<CONF
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache::archives "$work/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "";
APT::Update::Post-Invoke "";
CONF
export APT_CONFIG=$work/apt.conf
apt-get update -qq >&2 || fail "the package list could not be read"
(cd "$work/deb" && apt-get download -qq nvidia-cuda-toolkit >&2) || fail "the package could not be downloaded"
# Only ptxas and, where present, nvdisasm: both need nothing but the C library.
mkdir "$work/tree"
dpkg-deb --fsys-tarfile "$work"/deb/*.deb | tar -x -C "$work/tree" --wildcards '*/ptxas' '*/nvdisasm' '*/copyright'
mkdir -p "$work/out/bin"
find "$work/tree" -type f \( -name ptxas -o -name nvdisasm \) -perm -u+x -exec cp {} "$work/out/bin/" \;
find "$work/tree" -name copyright -exec cp {} "$work/out/" \;
[ -x "$work/out/bin/ptxas" ] || fail "the package holds no ptxas"
rm -rf "$cache"
mv "$work/out" "$cache"
found "$cache/bin/ptxas"
fail "the fetched ptxas does not run on this machine"
