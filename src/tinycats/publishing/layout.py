"""Names of the published folder's files."""

CARD_NAME = "README.md"
MANIFEST_NAME = "manifest.json"
GOLDEN_NAME = "golden.json"
HEAD_NAME = "classifier_head.bin"
