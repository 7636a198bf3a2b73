#!/usr/bin/env bash
# Run the pipeline, on Modal if COMPUTE says so, for at most WAIT. If it is not done then, start the workflow again: it attaches.
set -euo pipefail

status=0
timeout --signal=INT --kill-after=5m "$WAIT" dvc exp run --pull -S "compute=$COMPUTE" || status=$?
tinycats params # where it was trained is not part of the result
if [[ $status == 124 ]]; then
  tinycats share # the stages that are done
  gh workflow run train.yml --ref "$REF" -f "data=$DATA" -f "steps=$STEPS" -f "batch_size=$BATCH_SIZE" -f "lr=$LR" \
    -f "compute=$COMPUTE"
  echo "not done after $WAIT: another run of this workflow continues to wait"
  echo "finished=false" >> "$GITHUB_OUTPUT"
  exit
fi
[[ $status == 0 ]] || exit "$status"
echo "finished=true" >> "$GITHUB_OUTPUT"
