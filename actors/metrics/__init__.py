"""What this machine does: host, GPUs, containers, engines; sampled once, read by everybody."""
