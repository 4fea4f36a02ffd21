"""Speed and quality benchmarks."""
