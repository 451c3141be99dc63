"""What `python -m benchmarks supervision` runs: ours, a bare thread, stock pykka, xoscar and Erlang's supervisor."""
