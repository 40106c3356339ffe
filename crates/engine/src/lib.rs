//! Runs models: one trait, many families; linear models first.
