"""The current commit of a repository on the Hub; nothing where there is no such repository."""

import sys

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

try:
    print(HfApi().model_info(sys.argv[1]).sha)
except RepositoryNotFoundError:
    pass
