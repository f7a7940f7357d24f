"""Storage is the truth: runs, stages and shards on any fsspec URL.

Layout of a stage, in the order in which it comes to be::

    <run>/<stage>/plan.json            which shards there will be, and from what (created once)
    <run>/<stage>/part-00000.parquet   a shard's data: whole or absent
    <run>/<stage>/commits/part-00000.json   its commit record: rows, bytes, SHA-256
    <run>/<stage>/manifest.json        the stage is done; everything it holds, and what made it

A stage that is made anew lies in ``<run>/.redo/<stage>`` until it is whole, and then takes its place.
"""

from siglino_core.store.files import Files
from siglino_core.store.names import FEATURES, STAGES
from siglino_core.store.ranges import Ranges
from siglino_core.store.records import Identity, Manifest, Shard
from siglino_core.store.stage import Run, Stage, Todo, of_kind
from siglino_core.store.writer import ShardWriter

__all__ = [
    "FEATURES",
    "STAGES",
    "Files",
    "Identity",
    "Manifest",
    "Ranges",
    "Run",
    "Shard",
    "ShardWriter",
    "Stage",
    "Todo",
    "of_kind",
]
