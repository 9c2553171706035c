"""Long tests, run by `make fuzz` alone: NCDETECT_FUZZ says how many examples each of them tries."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("NCDETECT_FUZZ", "0"))
collect_ignore_glob = [] if EXAMPLES else ["test_*.py"]

if EXAMPLES:
    settings.register_profile(
        "fuzz", max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    settings.load_profile("fuzz")
