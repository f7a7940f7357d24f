"""An exact referring set that is made, not annotated: what each expression refers to is known by its own rule."""
