"""How SigLino runs at scale: one module a stage, on Ray Data and Ray Train."""
