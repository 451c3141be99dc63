"""The commands of `mosalamaagent`: tables for people, `--json` for programs."""
