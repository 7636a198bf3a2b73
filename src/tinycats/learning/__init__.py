"""What every training run uses: the loop, distribution over processes, precision, model directories."""
