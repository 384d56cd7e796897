"""Where tasks are carried out: processes of this machine, a Ray cluster, or jobs of Slurm."""
