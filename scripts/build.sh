#!/bin/bash
# Builds the native modules of trees in place, in the current directory. CALLSIEVE_BUILD selects the flavour (setup.py).
#   scripts/build.sh PYTHON engine proxy [tests]
set -euo pipefail
python=$1 flavour=${CALLSIEVE_BUILD:-release}
shift

suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
# A native module whose source is gone would still be imported.
for module in $(find engine proxy tests -name '*.so' ! -name '_cyutility.*'); do
    source=${module%%.*}.pyx
    [ -e "$source" ] && [ "$module" = "${source%.pyx}$suffix" ] || rm -f "$module"
done

sources=$(find "$@" -name '*.pyx' | sort)
stamp() { local IFS=-; echo "build/stamp-$flavour-$*"; }
current=no
if [ -e "$(stamp "$@")" ]; then
    current=yes
    for source in $sources engine/_cyutility.pyx; do [ -e "${source%.pyx}$suffix" ] || current=no; done
    newer=$(find engine proxy "$@" setup.py \( -name '*.pyx' -o -name '*.pxd' -o -name setup.py \) -newer "$(stamp "$@")")
    [ -z "$newer" ] || current=no
fi
[ "$current" = no ] || exit 0

echo "callsieve: building $(wc -w <<<"$sources") native modules ($flavour); some minutes when all are new"
mkdir -p build
# Cython does not see that its options changed.
[ ! setup.py -nt "$(stamp "$@")" ] || rm -rf "build/cython-$flavour" "build/temp."*
log=build/build-$flavour.log
begun=$(mktemp build/begun.XXXXXX)
if ! CALLSIEVE_BUILD=$flavour CALLSIEVE_TREES="$*" "$python" setup.py build_ext --inplace -j "$(nproc)" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "callsieve: the build failed (whole output: $log)" >&2
    rm -f "$begun"
    exit 1
fi
# As old as the begin: what is edited while it builds is built again.
cp -p "$begun" "$(stamp engine proxy)"
mv "$begun" "$(stamp "$@")"
