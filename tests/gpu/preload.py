"""What every section needs, imported once before the sections' processes are forked; nothing here touches a GPU."""

from contextlib import suppress

# What cannot be imported fails in the sections that need it, one by one.
with suppress(Exception):
    import torch._dynamo  # noqa: F401  # every optimizer imports it when it is made

    import gaussavatar.bench.step
    import gaussavatar.fitting.training  # noqa: F401
