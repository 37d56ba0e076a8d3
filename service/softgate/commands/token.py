"""
`softgate token`: a new token.

`softgate token NAME --scope predict >> tokens.toml` keeps its digest, and shows the token.
"""

import sys
from collections.abc import Sequence

from softgate.web.tokens import new_token, written


def run(name: str, *, scopes: Sequence[str], models: Sequence[str]) -> None:
    """Raises InvalidInput for a name that cannot be one."""
    token = new_token()
    table = written(name, token, scopes=list(dict.fromkeys(scopes)), models=list(dict.fromkeys(models)))
    sys.stdout.write(table + "\n")
    sys.stderr.write(token + "\n")
