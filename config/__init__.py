"""What this machine is told: frozen, validated settings from one YAML file and the environment."""
