"""A site's part in federated refinement: images stay here, what a head learned from them is sent.

Flower reads these settings when it is first imported, which happens below this package only: it phones nobody.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
