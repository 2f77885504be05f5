#!/bin/bash
# Copies the work tree to DIRECTORY, so that a build of another flavour can lie beside the release build. Built files
# there are kept.
#   scripts/debug-tree.sh DIRECTORY
set -euo pipefail
directory=$1
mkdir -p "$directory"
# Sources that are gone here go there too.
(cd "$directory" && find . -type f \( -name '*.py' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -not -path './build/*') |
    while read -r file; do [ -e "$file" ] || rm -f "$directory/$file"; done
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ -e "$file" ] || continue
    cmp -s "$file" "$directory/$file" || install -D -m "$(stat -c %a "$file")" "$file" "$directory/$file"
done
