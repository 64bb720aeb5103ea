"""All measures, in their order."""

from benchmarks.measures.drain import DRAIN
from benchmarks.measures.lone import KNOWN, STARTED
from benchmarks.measures.submit import SUBMIT

MEASURES = (SUBMIT, DRAIN, KNOWN, STARTED)
