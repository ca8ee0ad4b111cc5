"""Time comes in from outside: everything that needs it takes a ``Clock``."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]  # aware, UTC
