#!/usr/bin/env bash
# record-run.sh NAME TEXT: appends a row about a long run to docs/internals/runs.md: the date, the commit, the name and the text.
# In CI nothing is written, so that the tree stays clean; REPORT=file names another file, also in CI, and REPORT=no none.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

report=${REPORT:-}
[[ $report != no ]] || exit 0
if [[ -z $report ]]; then
    [[ -z ${CI:-} ]] || exit 0
    report=docs/internals/runs.md
fi
if [[ ! -e $report ]]; then
    printf '| date | commit | what | seed and size | findings |\n|---|---|---|---|---:|\n' >"$report"
fi
commit=$(git rev-parse --short=7 HEAD 2>/dev/null || echo unknown)
[[ -z $(git status --porcelain --untracked-files=no -- src tests Cargo.toml Cargo.lock 2>/dev/null) ]] || commit+="+"
printf '| %s | %s | %s | %s |\n' "$(date -u +%Y-%m-%d)" "$commit" "$1" "$2" >>"$report"
say "a row was added to $report"
