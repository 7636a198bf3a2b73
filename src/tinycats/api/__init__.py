"""What `import tinycats` offers and the commands use (docs/python.md): models that classify and generate, the pipeline."""
