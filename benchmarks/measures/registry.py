"""All measures, in their order."""

from benchmarks.measures.batch import BATCH
from benchmarks.measures.claims import CLAIMS_POSTGRESQL, CLAIMS_SQLITE
from benchmarks.measures.coroutines import COROUTINES
from benchmarks.measures.drain import DRAIN
from benchmarks.measures.idle import IDLE
from benchmarks.measures.instances import INSTANCES
from benchmarks.measures.lone import KNOWN, STARTED
from benchmarks.measures.progress import PROGRESS
from benchmarks.measures.submit import SUBMIT
from benchmarks.measures.takeover import TAKEOVER
from benchmarks.measures.watchers import WATCH

MEASURES = (
    SUBMIT,
    BATCH,
    DRAIN,
    KNOWN,
    STARTED,
    CLAIMS_SQLITE,
    CLAIMS_POSTGRESQL,
    WATCH,
    PROGRESS,
    INSTANCES,
    TAKEOVER,
    IDLE,
    COROUTINES,
)
