"""Federated refinement: rounds over whatever line reaches the sites, guarded, checkpointed, judged against each site alone.

Flower reads these settings when it is first imported, which happens below this package only: it phones nobody.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
