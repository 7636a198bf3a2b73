#!/usr/bin/env bash
# Write DATA, STEPS, BATCH_SIZE and LR, where given, to conf/, and compose params.yaml, so that the commit says what is trained.
set -euo pipefail

number='^[0-9]+(\.[0-9]+)?(e-?[0-9]+)?$'
overrides=()

fail() {
  echo "error: $1" >&2
  exit 1
}

set_value() { # SECTION KEY VALUE: in the file of the chosen group
  [[ -n $3 ]] || return 0
  [[ $3 =~ $number ]] || fail "$2: $3 is not a number"
  local file
  file=conf/$1/$(sed -n "s/^  - $1: //p" conf/config.yaml).yaml
  sed -i "/^$1:/,/^[^ ]/ s/^  $2: .*/  $2: $3/" "$file"
  overrides+=("$1.$2=$3")
}

if [[ -n ${DATA:-} ]]; then
  [[ $DATA =~ ^[a-z0-9_]+$ && -f conf/data/$DATA.yaml ]] || fail "data: conf/data/ has no $DATA.yaml"
  sed -i "s/^  - data: .*/  - data: $DATA/" conf/config.yaml
  overrides+=("data=$DATA")
fi
set_value train steps "${STEPS:-}"
set_value train batch_size "${BATCH_SIZE:-}"
set_value train lr "${LR:-}"

tinycats params
tinycats params --check "${overrides[@]}" # a data set may set the same key: then the edit had no effect
