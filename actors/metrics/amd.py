"""AMD GPUs from the files of their driver: no library, no lock that an engine needs. Every figure is optional."""

from pathlib import Path

from .gpu_queries import Figures

ROOT = Path("/sys/class/drm")
VENDOR = "0x1002"
PERCENT = 0.01
MILLI = 0.001
MICRO = 0.000_001


class AmdGpus:
    """The cards below `root`, found once: a card that is added needs a new start of its driver anyway."""

    def __init__(self, root: Path = ROOT) -> None:
        devices = (card / "device" for card in sorted(root.glob("card[0-9]*")) if "-" not in card.name)
        self.cards = {_name(device): device for device in devices if _text(device / "vendor") == VENDOR}

    def sample(self) -> dict[str, Figures]:
        """Name -> figures, now; a card whose files are gone is lost."""
        return {name: _figures(device) for name, device in self.cards.items()}


def _figures(device: Path) -> Figures:
    if not (device / "vendor").exists():
        return {"lost": 1}
    sensors = next(iter(sorted(device.glob("hwmon/hwmon*"))), device)
    found = {
        "name": _text(device / "product_name"),
        "utilization": _number(device / "gpu_busy_percent", PERCENT),
        "memory_utilization": _number(device / "mem_busy_percent", PERCENT),
        "memory_total_bytes": _number(device / "mem_info_vram_total"),
        "memory_used_bytes": _number(device / "mem_info_vram_used"),
        "temperature_c": _temperature(sensors),
        "slowdown_c": _number(sensors / "temp1_crit", MILLI),
        "power_w": _first(sensors, ("power1_average", "power1_input"), MICRO),
        "power_limit_w": _number(sensors / "power1_cap", MICRO),
        "fan_share": _fan(sensors),
    }
    return {name: value for name, value in found.items() if value is not None} | {"lost": 0}


def _temperature(sensors: Path) -> float | None:
    """The edge's, as the vendor's tool shows it; the first sensor where none is named so."""
    for label in sorted(sensors.glob("temp*_label")):
        if _text(label) == "edge":
            return _number(label.with_name(label.name.replace("_label", "_input")), MILLI)
    return _number(sensors / "temp1_input", MILLI)


def _fan(sensors: Path) -> float | None:
    now, most = _number(sensors / "pwm1"), _number(sensors / "pwm1_max")
    return None if now is None or not most else now / most


def _first(folder: Path, names: tuple[str, ...], scale: float) -> float | None:
    return next((value for name in names if (value := _number(folder / name, scale)) is not None), None)


def _name(device: Path) -> str:
    """The card's own number where it has one, else its place on the bus."""
    return f"GPU-{_text(device / 'unique_id') or device.resolve().name}"


def _number(file: Path, scale: float | None = None) -> float | int | None:
    text = _text(file)
    try:
        value = int(text) if text is not None else None
    except ValueError:
        return None
    return value if value is None or scale is None else round(value * scale, 6)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
