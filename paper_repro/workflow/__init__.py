"""Running notebooks: papermill, Snakemake, locks, signals and pages."""
