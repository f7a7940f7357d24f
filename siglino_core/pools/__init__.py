"""Pools of raw images: how their files are listed, shared out among shards, and read.

Three layouts, one file each (`imagefolder`, `webdataset`, `parquet`), with the same two functions:
``plan`` shares the pool's files out among shards without opening the images, and ``read`` yields what a shard
holds, one image at a time, in an order that depends on nothing but the pool.
"""
