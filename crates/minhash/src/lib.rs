//! Near-duplicate search: shingles, signatures, bands, an index.
//!
//! Two documents are near-duplicates when their sets of shingles (runs of k words) are alike in
//! the sense of Jaccard. A MinHash signature estimates that from a few numbers (Broder, "On the
//! resemblance and containment of documents", 1997), and bands of a signature find candidates
//! without comparing all pairs (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
//! chapter 3). [`Index`] verifies its candidates; [`Datasketch`] makes signatures that are those
//! of the Python package, bit by bit.
//!
//! ```
//! use mesh_minhash::{MinHasher, bands, similarity};
//!
//! # fn example() -> Option<()> {
//! let hasher = MinHasher::new(128, 2);
//! let one = hasher.signature("the bank left its rates as they were on monday");
//! let two = hasher.signature("the bank left its rates as they were on tuesday");
//! assert!(similarity(&one?, &two?) > 0.6);
//! assert_eq!(bands(0.8, 128), (9, 13));
//! # Some(())
//! # }
//! # example().unwrap();
//! ```

mod bands;
mod datasketch;
mod index;
mod kernel;
mod options;
mod permutations;
mod signature;
mod words;

pub use bands::{band_hashes, bands, bands_with_recall};
pub use datasketch::Datasketch;
pub use index::{Index, Match, Sketch, Sketcher};
pub use options::{MAX_SHINGLE, Options, OptionsError};
pub use permutations::MAX_PERMUTATIONS;
pub use signature::{MinHasher, Signature, similarity};
pub use words::Words;
