#!/usr/bin/env bash
# Write what a release is made of into the folder $1, as CycloneDX: the packages of a run, and those of the page.
set -euo pipefail
cd "$(dirname "$0")/../.."

mkdir -p "$1"
folder=$(realpath "$1")
cat requirements.lock torch.lock | cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
  --output-file "$folder/python.cdx.json" -
cd frontend
npm sbom --package-lock-only --omit dev --sbom-format cyclonedx > "$folder/page.cdx.json"
