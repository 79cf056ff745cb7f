"""When the steps run: the DAG, its pods' machines, the experiments, and the command line."""
