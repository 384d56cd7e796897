"""All that knows MLflow: experiments, runs, and the Detector as a logged model."""

from transfer_kit.tracking.location import redacted, store_uri
from transfer_kit.tracking.run import TrackedRun
from transfer_kit.tracking.store import Tracking, open_tracking

__all__ = ["TrackedRun", "Tracking", "open_tracking", "redacted", "store_uri"]
