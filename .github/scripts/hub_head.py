"""The current commit of a repository on the Hub; prints nothing if there is no such repository."""

import sys
from contextlib import suppress

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

with suppress(RepositoryNotFoundError):
    print(HfApi().model_info(sys.argv[1]).sha)
