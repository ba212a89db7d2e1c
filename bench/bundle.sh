#!/usr/bin/env bash
# Packs the tests, the benches and the command line for a GPU machine that has no .NET and no network: one folder of less
# than 60 MB with bundle.tar.xz and run.sh.
#   bench/bundle.sh [FOLDER]          default .cache/bundle
# There, with the folder copied over:
#   ./run.sh test                     every test, the CUDA device included
#   ./run.sh test -class '*GemmTests' some of them
#   ./run.sh bench --filter '*'       BenchmarkDotNet, in the process itself
#   ./run.sh gpu --output DIR         kernels, LoRA layers, generation, training steps
#   ./run.sh cli train --device cuda  the command line
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$root/.cache/bundle}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

mkdir -p "$stage/tree" "$out"
# The tests read golden files, PTX and sources of the tree.
git -C "$root" archive HEAD | tar -x -C "$stage/tree"
publish() {
    dotnet publish "$root/$1" -c Release -r linux-x64 --self-contained -o "$stage/app" \
        -p:DebugType=none -p:SatelliteResourceLanguages=en -v q -nologo "${@:2}"
}
publish tests/CudaLora.Tests.csproj
publish bench/CudaLora.Bench.csproj
# Last: the libraries of all three are those compiled ahead, which start faster and end up as fast.
publish lora/cli/cudalora.csproj -p:PublishReadyToRun=true
# What only a debugger or a profiler loads.
rm -f "$stage"/app/{createdump,libmscordaccore.so,libmscordbi.so,libcoreclrtraceptprovider.so} "$stage"/app/*.xml

cat >"$out/run.sh" <<'RUN'
#!/usr/bin/env bash
# Unpacks the bundle beside this script once and runs: test, bench, gpu or cli, with their own arguments.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${CUDALORA_HOME:-${TMPDIR:-/tmp}/cudalora-bundle}
stamp=$(sha256sum "$here/bundle.tar.xz" | cut -c1-16)
if [ ! -e "$home/.$stamp" ]; then
    rm -rf "$home"
    mkdir -p "$home"
    tar -xJf "$here/bundle.tar.xz" -C "$home"
    touch "$home/.$stamp"
fi
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
what=${1:?test, bench, gpu or cli}
shift
case $what in
    # The tests find the tree by the current folder.
    test) cd "$home/tree" && exec "$home/app/CudaLora.Tests" "$@" ;;
    bench) exec "$home/app/CudaLora.Bench" --inProcess "$@" ;;
    gpu) exec "$home/app/CudaLora.Bench" gpu "$@" ;;
    cli) exec "$home/app/cudalora" "$@" ;;
    *) echo "run.sh: test, bench, gpu or cli, not '$what'" >&2; exit 2 ;;
esac
RUN
chmod +x "$out/run.sh"
tar -C "$stage" -c tree app | xz -T0 -6 >"$out/bundle.tar.xz"
bytes=$(stat -c %s "$out/bundle.tar.xz")
echo "$out: $((bytes / 1000000)) MB"
[ "$bytes" -lt 60000000 ] || { echo "bundle.sh: above 60 MB" >&2; exit 1; }
