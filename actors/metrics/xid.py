"""What the codes of the NVIDIA driver's events mean for us. Pure data, after the vendor's public catalogue.

Fatal: the GPU needs a reset, a reboot or a replacement. Memory: cells fail, and the GPU goes on. Everything else is an
application's fault until it is known better, and is told with the engine it happened to.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Class = Literal["fatal", "memory", "app"]
CLASSES: tuple[Class, ...] = ("fatal", "memory", "app")

XIDS: Mapping[int, tuple[Class, str]] = MappingProxyType(
    {
        13: ("app", "a program made the graphics engine fail"),
        31: ("app", "a program used memory that is not its own"),
        43: ("app", "a program stopped the GPU's work; the GPU goes on"),
        45: ("app", "the work of a program was removed, most often since it ended"),
        48: ("fatal", "a memory error of two bits"),
        63: ("memory", "a failing row of memory is noted for replacement"),
        64: ("fatal", "a failing row of memory could not be noted for replacement"),
        68: ("app", "the video processor failed"),
        74: ("fatal", "an NVLink failed"),
        79: ("fatal", "the GPU has fallen off the bus"),
        92: ("memory", "many corrected memory errors"),
        94: ("memory", "a memory error was contained: only the program that met it is hit"),
        95: ("fatal", "a memory error was not contained: every program on the GPU is hit"),
        109: ("app", "switching between programs took too long"),
        119: ("fatal", "the GPU's own system processor does not answer"),
        120: ("fatal", "the GPU's own system processor failed"),
        140: ("fatal", "a memory error that could not be corrected, in the chip itself"),
        143: ("fatal", "the GPU could not be brought up"),
        154: ("fatal", "the GPU asks for a recovery action"),
    }
)


def meaning(code: int) -> tuple[Class, str]:
    """Class and words of a code; an unknown one is an application's until it is known better."""
    return XIDS.get(code, ("app", "an event that this version does not know"))
