"""What happens in the world: tasks, sites, faults and truth.  Importing this only registers gym ids."""

import flow_rag_vla.tasks.catalogue.registry  # noqa: F401  (registers them)
