"""The command line: `earmark`. Imports nothing heavy until a command runs.

gRPC's core reads its switches from the environment as soon as it is imported: they are set here, before any module of
the command line can do that. What the operator has set stays.
"""

import os
from importlib.metadata import version

# Its own log lines would stand between the user and ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Its handlers complain at every process of --workers.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Without the threads of its event engine a frame of a Session costs a third less and arrives earlier (bench/README.md).
# A release that does not know these names would say so on stderr: only those that were tried are told.
if version("grpcio").startswith("1.85."):
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
