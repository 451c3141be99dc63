"""What is measured: `python -m benchmarks` lists it; README.md is the contract of a benchmark module."""
