#!/usr/bin/env bash
# Compares CudaLora with TorchSharp (libtorch) side by side. Options: --only gemm,step and other groups  --threads N  --repeats N
# --clock wall|cpu  --output DIR (below the current folder).
#
# libtorch 2.10 needs the libstdc++ of Debian 13 or Ubuntu 24.04 (GLIBCXX_3.4.32). Where the machine's is older, the
# program runs in a Debian 13 root that debootstrap makes once (needs to be root). Both live in .cache/peers, or in
# $CUDALORA_PEER_CACHE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${CUDALORA_PEER_CACHE:-$(cd "$here/../.." && pwd)/.cache/peers}
app=$cache/app
CUDALORA_COMMIT=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
export CUDALORA_COMMIT
# ONNX Runtime would send how it is used.
export ORT_DISABLE_TELEMETRY=1

dotnet publish "$here/CudaLora.Peers.csproj" -c Release -r linux-x64 --self-contained -o "$app" -v q -nologo

library=$(ldconfig -p | awk '/libstdc\+\+\.so\.6 .*x86-64/ && !seen++ { print $NF }')
if grep -q GLIBCXX_3.4.32 "$library" 2>/dev/null; then
    exec "$app/CudaLora.Peers" "$@"
fi

root=$cache/debian13
if [ ! -e "$root/.complete" ]; then
    command -v debootstrap >/dev/null || { echo "libstdc++ is too old for libtorch: install debootstrap" >&2; exit 1; }
    mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' \
        | grep -m1 -E '/debian/?$') || true
    [ -n "$mirror" ] || { echo "apt knows no Debian mirror to make the root from" >&2; exit 1; }
    rm -rf "$root"
    debootstrap --variant=minbase --include=libgomp1,libstdc++6 trixie "$root" "$mirror"
    touch "$root/.complete"
fi

# The mounts live in a namespace of their own and end with it. The current folder keeps its path inside.
mkdir -p "$root/app" "$root$PWD"
exec unshare --mount bash -euc '
    root=$1 app=$2
    shift 2
    mount --bind "$app" "$root/app"
    mount --bind "$PWD" "$root$PWD"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /bin/sh -c "cd \"\$0\" && exec /app/CudaLora.Peers \"\$@\"" "$PWD" "$@"
' peers "$root" "$app" "$@"
