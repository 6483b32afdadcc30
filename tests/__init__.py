"""The tests of vmc. Time limits on single examples are off: they measure the machine, not the code."""

from hypothesis import HealthCheck, settings

settings.register_profile("vmc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vmc")
