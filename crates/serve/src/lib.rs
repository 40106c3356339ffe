//! A project as a REST service: routes, schemas, batches, health, metrics.
