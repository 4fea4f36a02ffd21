"""The native CPU library: finding, building, loading, calling."""
