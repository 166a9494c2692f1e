"""What is done to members and servers, by name. Each deed ends with everything running again."""
from .deed import DEEDS, Missed, Skipped
# Each module adds its own, in the order that --list has.
from . import kills, group, clocks, clickhouse, kafka, records
