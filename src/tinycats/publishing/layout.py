"""Names of the published files."""

CARD_NAME = "README.md"
MANIFEST_NAME = "manifest.json"
GENERATORS = {"generator": "golden.json", "student": "golden_student.json"}  # and their golden files
HEAD_NAME = "classifier_head.bin"
SPACE_MODELS = "models"  # the page's folder in a Space
