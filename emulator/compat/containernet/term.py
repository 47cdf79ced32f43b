"""Containernet's terminals, which are Mininet's."""

from emulator.compat.mininet.term import cleanUpScreens as cleanUpScreens
from emulator.compat.mininet.term import makeTerm as makeTerm
from emulator.compat.mininet.term import makeTerms as makeTerms
from emulator.compat.mininet.term import runX11 as runX11
from emulator.compat.unsupported import refuse_names

__getattr__ = refuse_names("containernet.term")
