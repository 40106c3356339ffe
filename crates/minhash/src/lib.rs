//! Near-duplicate search: shingles, signatures, bands.
