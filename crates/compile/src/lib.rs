//! From models to compiled models: packing, fidelity and speed gates.
