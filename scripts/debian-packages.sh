#!/bin/bash
# Sees to the Debian packages that a task needs: installs what is missing where it may, else says what to install and stops.
#   scripts/debian-packages.sh build|test|bench|fuzz|prove
set -euo pipefail

# What must be there -> the package that brings it. A name with a slash is a file, any other a program.
case "${1:?build, test, bench, fuzz or prove}" in
    build) needs="gcc=gcc /usr/include/stdio.h=libc6-dev" ;;
    test) needs="sipp=sip-tester baresip=baresip-core /usr/lib/baresip/modules/aufile.so=baresip-core sipsak=sipsak"
        needs+=" kamailio=kamailio /usr/lib/x86_64-linux-gnu/kamailio/modules/tls.so=kamailio-tls-modules"
        needs+=" /usr/lib/x86_64-linux-gnu/kamailio/modules/app_python3.so=kamailio-python3-modules"
        needs+=" linphone-daemon=linphone-cli chromium=chromium chromedriver=chromium-driver openssl=openssl"
        needs+=" mosquitto=mosquitto /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1=libfaketime" ;;
    bench) needs="kamailio=kamailio" ;;
    fuzz) needs="clang=clang" ;;
    prove) needs="debootstrap=debootstrap unshare=util-linux" ;;
    *) echo "debian-packages.sh: unknown task $1" >&2; exit 2 ;;
esac

missing=()
for need in $needs; do
    what=${need%%=*} package=${need#*=}
    case $what in
        */*) [ -e "$what" ] || missing+=("$package") ;;
        *) PATH=$PATH:/usr/sbin command -v "$what" >/dev/null || missing+=("$package") ;;
    esac
done
if [ "$1" = build ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    python3 -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null || missing+=(python3-dev)
fi
[ ${#missing[@]} -gt 0 ] || exit 0
read -r -a missing <<<"$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')"

as_root=()
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then as_root=(sudo); else as_root=(false); fi
fi
if [ "${as_root[*]}" = false ] || ! command -v apt-get >/dev/null; then
    echo "callsieve: these Debian packages are needed: ${missing[*]}" >&2
    echo "callsieve: install them and try again:  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

echo "callsieve: installing Debian packages: ${missing[*]}"
log=$(mktemp)
# A service that a package brings must not start: it would take port 5060.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >"$log" 2>&1; }
if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; }; then
    tail -n 20 "$log" >&2
    echo "callsieve: apt-get failed (whole output: $log)" >&2
    exit 1
fi
rm -f "$log"
