//! The tasks of the library: what a manifest-only project predicts.
