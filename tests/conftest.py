"""Settings of all tests."""

from __future__ import annotations

import hypothesis

# A deadline for an example, or a limit on how long its data take, would be an assertion about time.
hypothesis.settings.register_profile(
    "timeless", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("timeless")
