#!/usr/bin/env bash
# What the working tree changes against the commit BASE, as Markdown on stdout; the plots go to dvc_plots/.
# Usage: report.sh BASE   with GITHUB_SERVER_URL, GITHUB_REPOSITORY and RUN_URL for the links
set -euo pipefail

base=$(git merge-base "$1" HEAD)
head=$(git rev-parse HEAD)
pictures=(metrics/evaluate/samples.png metrics/evaluate/confusion.png)

picture() { # COMMIT PATH
  if git cat-file -e "$1:$2" 2> /dev/null; then
    echo "![]($GITHUB_SERVER_URL/$GITHUB_REPOSITORY/blob/$1/$2?raw=true)"
  fi
}

table() { # what a command prints, or that nothing changed
  local rows
  rows=$("$@")
  echo "${rows:-Nothing changed.}"
}

dvc plots diff "$base" workspace --out dvc_plots > /dev/null

echo "## Results against ${base:0:8}"
echo
if [[ -n $(git status --porcelain -- dvc.lock metrics) ]]; then
  echo "**dvc.lock is behind the code**: this workflow ran the stages that changed; these are its figures."
  echo "Run \`dvc repro\` and commit dvc.lock and metrics/; the images below are still those of the commit."
  echo
fi
echo "### Metrics"
table dvc metrics diff --md "$base"
echo
echo "### Parameters"
table dvc params diff --md "$base"
echo
echo "### Images"
echo "| ${base:0:8} | ${head:0:8} |"
echo "|---|---|"
for path in "${pictures[@]}"; do
  echo "| $(picture "$base" "$path") | $(picture "$head" "$path") |"
done
echo
echo "Curves, confusion matrices and sample grids of both: [the artifact \`plots\`]($RUN_URL#artifacts), its index.html."
