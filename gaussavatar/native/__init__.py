"""The native libraries: finding, building, loading, calling; and the table of operations that have native forms."""
