#!/usr/bin/env bash
# Publish to REPO_ID on the Hub after the gates, download it again and compare; roll back if that fails. Then the page to
# SPACE_ID, if there is one. VERSION_TAG is the git tag that is released, if any: v1.2.0 gives the models the version 1.2.0.
set -euo pipefail

if [[ -z $REPO_ID ]]; then
  echo "error: name the repository: the input repo_id or the variable HUB_REPO_ID of this repository" >&2
  exit 1
fi
settings=(-S "publish.hub.repo_id=$REPO_ID")
if [[ -n $VERSION_TAG ]]; then
  settings+=(-S "publish.version=${VERSION_TAG#v}")
fi
publish() { # by force: the run cache would restore an earlier publication without uploading it
  dvc exp run --force --single-item "${settings[@]}" "$@" publish
}

rm -rf downloaded
before=$(python .github/scripts/hub_head.py "$REPO_ID")
publish
after=$(python .github/scripts/hub_head.py "$REPO_ID")

verify() {
  hf download "$REPO_ID" --revision "$after" --local-dir downloaded &&
    diff --recursive --exclude .cache --exclude .gitattributes publish downloaded &&
    tinycats verify downloaded/{classifier,generator,student} downloaded/{onnx,onnx_int8}/*.onnx
}

if verify; then
  echo "$REPO_ID is at $after, and whole"
elif [[ -n $before && $before != "$after" ]]; then
  tinycats rollback --repo "$REPO_ID" --to "$before"
  echo "error: $REPO_ID at $after is not what was published; it is back at $before" >&2
  exit 1
else
  echo "error: $REPO_ID at $after is not what was published, and there is nothing to go back to" >&2
  exit 1
fi

if [[ -n $SPACE_ID ]]; then
  publish -S "publish.hub.space_id=$SPACE_ID"
fi
