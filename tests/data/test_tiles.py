from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import *  # noqa: F403 - looked at below
