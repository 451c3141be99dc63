"""What this machine shows of itself: health, figures, the control socket."""
