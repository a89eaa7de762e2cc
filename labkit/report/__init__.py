"""From notebooks to the report."""

import sys

# nbformat imports jsonschema, which would build the grammar of a format (IRIs) that no notebook's
# schema uses: more than half of the command line's start-up time
sys.modules.setdefault("rfc3987_syntax", None)
