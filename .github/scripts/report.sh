#!/usr/bin/env bash
# What the working tree changes against the commit BASE, as Markdown on stdout; the plots go to dvc_plots/.
# Usage: report.sh BASE   with GITHUB_SERVER_URL, GITHUB_REPOSITORY and RUN_URL for the links
set -euo pipefail

base=$(git merge-base "$1" HEAD)
head=$(git rev-parse HEAD)
pictures=(metrics/evaluate/student.png metrics/evaluate/samples.png metrics/evaluate/few_steps.png metrics/evaluate/confusion.png)

picture() { # COMMIT PATH
  if git cat-file -e "$1:$2" 2> /dev/null; then
    echo "<img src=\"$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/blob/$1/$2?raw=true\" width=\"400\" alt=\"$2\">"
  fi
}

folded() { # TITLE COMMAND...: what a command prints, without the blanks that align it, or that nothing changed
  local title=$1 rows
  shift
  rows=$("$@" | sed -E 's/ +/ /g; s/-{4,}/---/g')
  if ((${#rows} > 25000)); then # GitHub takes 65536 characters in all
    rows="Too many for a comment: \`$*\` shows them."
  fi
  printf '<details><summary>%s</summary>\n\n%s\n\n</details>\n\n' "$title" "${rows:-Nothing changed.}"
}

dvc plots diff "$base" workspace --out dvc_plots > /dev/null

echo "## Results against ${base:0:8}"
echo
if [[ -n $(git status --porcelain -- dvc.lock metrics) ]]; then
  echo "**dvc.lock is behind the code**: this workflow ran the stages that changed; these are its figures."
  echo "Run \`dvc repro\` and commit dvc.lock and metrics/; the images below are still those of the commit."
  echo
fi
tinycats compare "$base"
echo
echo "| before (${base:0:8}) | now (${head:0:8}) |"
echo "|---|---|"
for path in "${pictures[@]}"; do
  echo "| $(picture "$base" "$path") | $(picture "$head" "$path") |"
done
echo
folded "Parameters" dvc params diff --md "$base"
folded "All metrics" dvc metrics diff --md "$base"
echo "Curves and all images of both: [the artifact \`plots\`]($RUN_URL#artifacts), its index.html."
