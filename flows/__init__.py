"""When stages run: the composition root, the only place that knows Prefect and Hydra."""
