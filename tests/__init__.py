"""Tests mirror the rooms; `bed` builds real surroundings, `fakes` are stand-ins with the real interface."""
