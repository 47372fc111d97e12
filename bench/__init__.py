"""The benchmarks behind every figure in the README: ours, parsedmarc and bare scripts, side by side in one run."""
